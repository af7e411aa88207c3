package process

import (
	"bytes"
	"encoding/binary"
	"path"
	"strings"
)

// Runtime is what executes a program's code, as far as its executable shows.
type Runtime uint8

// Runtimes. RuntimeUnknown is also that of plain native code.
const (
	RuntimeUnknown Runtime = iota
	RuntimeGo
	RuntimePython
	RuntimePyPy
	RuntimeNode
	RuntimeBun
	RuntimeDeno
	RuntimeJava
	RuntimeRuby
	RuntimePerl
	RuntimePHP
	RuntimeDotnet
	RuntimeMono
	RuntimeShell
)

// name is process.runtime.name as the language's SDK would give it. Java's would be the VM's own property, which the executable does
// not show, and a shell is no runtime: both have none.
func (r Runtime) name(exe string) string {
	switch r {
	case RuntimeGo:
		return "go"
	case RuntimePython:
		return "cpython"
	case RuntimePyPy:
		return "pypy"
	case RuntimeNode:
		return "nodejs"
	case RuntimeBun:
		return "bun"
	case RuntimeDeno:
		return "deno"
	case RuntimeRuby:
		return "ruby"
	case RuntimePerl:
		return "perl"
	case RuntimePHP:
		return phpSAPI(exe)
	case RuntimeDotnet:
		return ".NET"
	case RuntimeMono:
		return "Mono"
	}
	return ""
}

// phpSAPI is PHP_SAPI, by which PHP's SDK names its runtime.
func phpSAPI(exe string) string {
	switch base := path.Base(exe); {
	case strings.HasPrefix(base, "php-fpm"):
		return "fpm-fcgi"
	case strings.HasPrefix(base, "php-cgi"):
		return "cgi-fcgi"
	}
	return "cli"
}

// runtimeOfName knows interpreters by the base name of their executable, with or without a version
// behind it (python3.13t, php-fpm8.2).
func runtimeOfName(exe string) Runtime {
	stem := path.Base(exe)
	if n := strings.IndexAny(stem, "0123456789"); n > 0 {
		if strings.Trim(stem[n:], "0123456789.t") != "" {
			return RuntimeUnknown
		}
		stem = stem[:n]
	}
	switch stem {
	case "python":
		return RuntimePython
	case "pypy":
		return RuntimePyPy
	case "node", "nodejs":
		return RuntimeNode
	case "bun":
		return RuntimeBun
	case "deno":
		return RuntimeDeno
	case "java":
		return RuntimeJava
	case "ruby":
		return RuntimeRuby
	case "perl":
		return RuntimePerl
	case "php", "php-fpm", "php-cgi":
		return RuntimePHP
	case "dotnet":
		return RuntimeDotnet
	case "mono", "mono-sgen":
		return RuntimeMono
	case "sh", "bash", "dash", "ash", "ksh", "zsh", "busybox":
		return RuntimeShell
	}
	return RuntimeUnknown
}

// goELF says whether an ELF file was linked by Go: it has a note named Go (the build id), or, where
// -buildid= removed that, a section .go.buildinfo. readAt fills b from an offset of the file. At
// most about 70 KiB are read, in five or six pieces.
func goELF(readAt func(b []byte, off uint64) bool) bool {
	var head [64]byte
	if !readAt(head[:], 0) || string(head[:4]) != "\x7fELF" {
		return false
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[5] == 2 {
		order = binary.BigEndian
	}
	if head[4] != 2 { // ELFCLASS64: Go's 32-bit targets are not ours
		return false
	}
	phoff, shoff := order.Uint64(head[32:]), order.Uint64(head[40:])
	phsize, phnum := order.Uint16(head[54:]), order.Uint16(head[56:])
	shsize, shnum, strndx := order.Uint16(head[58:]), order.Uint16(head[60:]), order.Uint16(head[62:])

	const maxEntries = 256
	if phsize == 56 && phnum > 0 && phnum <= maxEntries {
		table := make([]byte, int(phnum)*56)
		if readAt(table, phoff) {
			for ; len(table) >= 56; table = table[56:] {
				const ptNote = 4
				if order.Uint32(table) != ptNote {
					continue
				}
				size := min(order.Uint64(table[32:]), 4<<10)
				note := make([]byte, size)
				if readAt(note, order.Uint64(table[8:])) && hasGoNote(note, order) {
					return true
				}
			}
		}
	}
	if shsize != 64 || shnum == 0 || shnum > maxEntries || strndx >= shnum {
		return false
	}
	table := make([]byte, int(shnum)*64)
	if !readAt(table, shoff) {
		return false
	}
	names := table[int(strndx)*64:]
	size := order.Uint64(names[32:])
	if size == 0 || size > 32<<10 {
		return false
	}
	text := make([]byte, size)
	return readAt(text, order.Uint64(names[24:])) && bytes.Contains(text, []byte(".go.buildinfo\x00"))
}

// hasGoNote walks notes: name size, description size, type, name and description padded to 4.
func hasGoNote(b []byte, order binary.ByteOrder) bool {
	for len(b) >= 12 {
		name, desc := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:]))
		b = b[12:]
		if name == 4 && len(b) >= 4 && string(b[:4]) == "Go\x00\x00" {
			return true
		}
		step := (name+3)&^3 + (desc+3)&^3
		if step > uint64(len(b)) {
			return false
		}
		b = b[step:]
	}
	return false
}
