//go:build linux

package process

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const netTCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
	"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0\n" +
	"   1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 777 1 0000000000000000 20 4 30 10 -1\n"

const netTCP6 = "  sl  local_address remote_address st ...\n" +
	"   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0\n"

func TestParseListeners(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the tables were printed on a little-endian machine")
	}
	got, whole, err := parseListeners(nil, strings.NewReader(netTCP+netTCP6))
	require.NoError(t, err)
	assert.True(t, whole)
	assert.Equal(t, []Port{
		{Addr: netip.MustParseAddrPort("127.0.0.1:8080"), Inode: 12345, UID: 1000},
		{Addr: netip.MustParseAddrPort("[::1]:80"), Inode: 9},
	}, got)
	// In the smallest pieces too.
	pieces, _, err := parseListeners(nil, iotest.OneByteReader(strings.NewReader(netTCP+netTCP6)))
	require.NoError(t, err)
	assert.Equal(t, got, pieces)
	// A line without end is not kept.
	_, whole, err = parseListeners(nil, strings.NewReader(strings.Repeat("x", 1<<20)))
	assert.NoError(t, err)
	assert.False(t, whole)
	// Established connections are not read to their end.
	line := strings.SplitAfter(netTCP, "\n")[2]
	in := strings.NewReader(netTCP + strings.Repeat(line, 100000))
	got, whole, err = parseListeners(nil, in)
	require.NoError(t, err)
	assert.True(t, whole)
	assert.Len(t, got, 1)
	assert.Greater(t, in.Len(), 90000*len(line))
	_, _, err = parseListeners(nil, iotest.ErrReader(os.ErrDeadlineExceeded))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func FuzzListeners(f *testing.F) {
	f.Add([]byte(netTCP))
	f.Add([]byte(netTCP6))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := parseListeners(nil, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > bytes.Count(b, []byte("\n"))+1 {
			t.Fatalf("%d sockets in %d bytes", len(got), len(b))
		}
		for _, p := range got {
			if !p.Addr.IsValid() || p.Addr.Port() == 0 {
				t.Fatalf("%v", p)
			}
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("42 (a) S 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 100 1000 10 18446744073709551615 4096 2 8192 0\n"))
	f.Add([]byte("42 (a) b) (c) R 1 1 0 -1"))
	f.Add([]byte("()\x00 0 0 0 4 0 0 0 0 0 0 0 0\x000\xff\x80 0 0 0 0 0 0d 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStat(b)
		if err == nil && (s.state == 0 || s.ppid < 0 || !utf8.ValidString(s.comm)) {
			t.Fatalf("%+v", s)
		}
		_, _ = parseStatus(b)
	})
}

func FuzzEnviron(f *testing.F) {
	f.Add([]byte("A=1\x00OTEL_SERVICE_NAME=x\x00A=2\x00"))
	f.Add([]byte("\x00\x00A=1"))
	wanted := map[string]struct{}{"A": {}, envServiceName: {}, envAttributes: {}}
	f.Fuzz(func(t *testing.T, b []byte) {
		e := parseEnviron(b, wanted)
		for name, value := range e.values {
			if _, ok := wanted[name]; !ok {
				t.Fatalf("kept %q", name)
			}
			if len(value) > maxEnvValue || !bytes.Contains(b, []byte(name+"="+value)) {
				t.Fatalf("%q is not in the input", value)
			}
			// The first of equal names.
			var first string
			for entry := range bytes.SplitSeq(b, []byte{0}) {
				if v, ok := strings.CutPrefix(string(entry), name+"="); ok {
					first = v
					break
				}
			}
			if value != first[:min(len(first), maxEnvValue)] {
				t.Fatalf("%s=%q, first is %q", name, value, first)
			}
		}
	})
}

func FuzzCGroup(f *testing.F) {
	f.Add([]byte("0::/system.slice/docker-" + strings.Repeat("a", 64) + ".scope\n"))
	f.Add([]byte("1:name=systemd:/kubepods/pod3e61c214-bc3e-d9ff-81e2-1474dd6cba17/" + strings.Repeat("a", 64)))
	f.Add([]byte("3 1 8:1 /containers/" + strings.Repeat("a", 64) + "/hostname /etc/hostname rw"))
	f.Fuzz(func(t *testing.T, b []byte) {
		groups := parseCGroups(b)
		if len(groups) > maxCGroups {
			t.Fatal(len(groups))
		}
		for _, g := range groups {
			if g.Path == "" || g.Path[0] != '/' {
				t.Fatalf("%+v", g)
			}
		}
		c := containerOf(groups)
		if c.podUID != "" && len(c.podUID) != 36 && len(c.podUID) != 32 {
			t.Fatalf("%+v", c)
		}
		if len(c.id) > 128 || !utf8.ValidString(c.id) {
			t.Fatalf("%q", c.id)
		}
		if id := containerOfMounts(b); id != "" && (len(id) != 64 || !isHex(id)) {
			t.Fatalf("%q", id)
		}
	})
}

func FuzzDeclared(f *testing.F) {
	f.Add("service.name=a,b=%20")
	f.Fuzz(func(t *testing.T, s string) {
		attrs, _, err := parseDeclared(s)
		if err != nil && attrs != nil {
			t.Fatal("an error discards all")
		}
		if len(attrs) > maxAttributes {
			t.Fatal(len(attrs))
		}
		seen := map[string]bool{}
		for _, a := range attrs {
			if a.Key == "" || seen[a.Key] || !utf8.ValidString(a.Key+a.Str) || len(a.Str) > maxAttributeText {
				t.Fatalf("%+v", a)
			}
			seen[a.Key] = true
		}
	})
}

func FuzzProgramName(f *testing.F) {
	f.Add(uint8(RuntimePython), "python3\x00-m\x00uvicorn\x00shop:app")
	f.Add(uint8(RuntimeJava), "java\x00-jar\x00a-1.jar")
	f.Add(uint8(RuntimeNode), "node\x00node_modules/")
	f.Fuzz(func(t *testing.T, rt uint8, line string) {
		name := programName(Runtime(rt%13), strings.Split(line, "\x00"), func() string { return "/srv/x" })
		if !utf8.ValidString(name) || len(name) > 255 || strings.ContainsAny(name, "\x00\n") {
			t.Fatalf("%q", name)
		}
	})
}

func FuzzGoELF(f *testing.F) {
	if b, err := os.ReadFile("/proc/self/exe"); err == nil {
		f.Add(b[:min(len(b), 8<<10)])
	}
	f.Add([]byte("\x7fELF\x02\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		reads, size := 0, 0
		goELF(func(p []byte, off uint64) bool {
			reads++
			size += len(p)
			if off > uint64(len(b)) || uint64(len(p)) > uint64(len(b))-off {
				return false
			}
			copy(p, b[off:])
			return true
		})
		if reads > 300 || size > 2<<20 {
			t.Fatalf("%d reads of %d bytes", reads, size)
		}
	})
}
