package goruntime

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
)

// buildInfoMagic starts the block that the linker writes for `go version`:
// magic (14 bytes), pointer size u8, flags u8, 16 bytes; with flag 2 (Go 1.18
// and later) a varint-length version string follows at 32, before that a
// pointer to a string header is at 16. debug/buildinfo documents the format.
const (
	buildInfoMagic   = "\xff Go buildinf:"
	buildInfoAlign   = 16
	maxVersionLength = 256
	// The linker puts the block at the start of the data segment; with an
	// external linker, relocated read-only data can come first.
	buildInfoScan = 8 << 20
)

// goVersion returns the version string of the build information, or "" when there is none.
func goVersion(im *image) string {
	if s, ok := im.section(".go.buildinfo"); ok && s.length >= 32 {
		if v := versionAt(im, s.off); v != "" {
			return v
		}
	}
	for _, s := range im.segments {
		if s.kind != ptLoad || s.flags&pfW == 0 || !im.inFile(s.off, s.filesz) {
			continue
		}
		if off, ok := findBuildInfo(im, s.off, min(s.filesz, buildInfoScan)); ok {
			if v := versionAt(im, off); v != "" {
				return v
			}
		}
	}
	return ""
}

// findBuildInfo searches a file region for the aligned magic.
func findBuildInfo(im *image, start, length uint64) (uint64, bool) {
	w, err := newWindow(im, start, length)
	if err != nil {
		return 0, false
	}
	for off := uint64(0); off+32 <= length; {
		n := min(windowSize, length-off)
		b, err := w.read(off, n)
		if err != nil {
			return 0, false
		}
		for i := 0; i < len(b); {
			j := bytes.Index(b[i:], []byte(buildInfoMagic))
			if j < 0 {
				break
			}
			at := start + off + uint64(i+j)
			if at%buildInfoAlign == 0 {
				return at, true
			}
			i += j + 1
		}
		if n < windowSize {
			break
		}
		off += n - uint64(len(buildInfoMagic))
	}
	return 0, false
}

func versionAt(im *image, off uint64) string {
	h, err := im.bytes(off, 32)
	if err != nil || string(h[:14]) != buildInfoMagic {
		return ""
	}
	if h[15]&2 == 0 { // Go 1.17: pointers
		if h[14] != 8 || h[15]&1 != 0 {
			return ""
		}
		head, err := im.at(binary.LittleEndian.Uint64(h[16:]), 16)
		if err != nil {
			return ""
		}
		n := binary.LittleEndian.Uint64(head[8:])
		if n == 0 || n > maxVersionLength {
			return ""
		}
		v, err := im.at(binary.LittleEndian.Uint64(head), n)
		if err != nil {
			return ""
		}
		return printable(v)
	}
	size := min(uint64(im.size)-off-32, maxVersionLength+binary.MaxVarintLen64)
	b, err := im.bytes(off+32, size)
	if err != nil {
		return ""
	}
	n, k := binary.Uvarint(b)
	if k <= 0 || n == 0 || n > maxVersionLength || n > uint64(len(b)-k) {
		return ""
	}
	return printable(b[k : k+int(n)])
}

func printable(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(b)
}

// minor returns N for a version of Go 1.N. Seen forms: "go1.24.3", "go1.24rc1",
// "go1.24.3 X:boringcrypto", "go1.22.9 (Red Hat 1.22.9-1.el9)",
// "devel go1.27-abc123 Mon Jan 2", "go1.27-devel_abc123". released is false for
// development versions, whose layout may be that of any commit.
func minor(version string) (n int, released, ok bool) {
	v := version
	released = !strings.Contains(v, "devel")
	v = strings.TrimSpace(strings.TrimPrefix(v, "devel"))
	rest, found := strings.CutPrefix(v, "go1.")
	if !found {
		return 0, false, false
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(rest[:digits])
	if err != nil || n > 999 {
		return 0, false, false
	}
	return n, released, true
}
