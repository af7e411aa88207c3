package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMachineArchives(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  archives
		err   string
	}{
		"deb822": {
			files: map[string]string{"sources.list.d/debian.sources": "# a comment\nTypes: deb deb-src\n# another\nURIs: http://m.invalid/debian/\n" +
				"Suites: bookworm bookworm-updates\nComponents: main\n contrib\n\n\nTypes: deb\nURIs: http://s.invalid/debian-security\n" +
				"Suites: bookworm-security\nComponents: main\n"},
			want: archives{"http://m.invalid/debian", "http://s.invalid/debian-security"},
		},
		"one line": {
			files: map[string]string{"sources.list": "#deb http://off.invalid/debian bookworm main\ndeb-src http://src.invalid/debian bookworm main\n" +
				"deb [arch=amd64 signed-by=/a b] http://m.invalid/debian bookworm main contrib # why\ndeb http://s.invalid/sec stable-security main\n"},
			want: archives{"http://m.invalid/debian", "http://s.invalid/sec"},
		},
		"others first": {
			files: map[string]string{
				"sources.list":                "deb http://m.invalid/debian trixie main\n",
				"sources.list.d/a.list":       "deb http://tool.invalid/apt tool-bookworm main\n",
				"sources.list.d/node.sources": "Types: deb\nURIs: http://node.invalid/\nSuites: nodistro\nComponents: main\n",
				"sources.list.d/old.save":     "deb http://save.invalid/debian bookworm main\n",
			},
			want: archives{base: "http://m.invalid/debian"},
		},
		"disabled": {
			files: map[string]string{"sources.list.d/d.sources": "Types: deb\nEnabled: no\nURIs: http://m.invalid\nSuites: trixie\nComponents: main\n"},
			err:   "-mirror",
		},
		"not Debian": {
			files: map[string]string{"sources.list": "deb http://u.invalid/ubuntu noble main\ndeb malformed\ndeb [x http://m.invalid trixie main\n"},
			err:   "no Debian archive",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				file = filepath.Join(dir, file)
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
			}
			got, err := machineArchives(dir)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestArchiveCandidates(t *testing.T) {
	list := archives{base: "http://m.invalid/debian", security: "http://m.invalid/debian-security"}.candidates()
	require.Equal(t, archives{"http://m.invalid/debian-archive/debian", "http://m.invalid/debian-archive/debian-security"}, list[1])
	// apt's own schemes name no place below which an archive could be guessed.
	require.Len(t, archives{base: "mirror+file:/etc/apt/mirrors/debian.list"}.candidates(), 1)
}

func TestNewestKernel(t *testing.T) {
	const text = `Package: linux-image-cloud-amd64
Version: 6.12.107-1
Depends: linux-image-6.12.107+deb13-cloud-amd64 (= 6.12.107-1)

Package: linux-image-cloud-amd64
Version: 6.1.176-1
Depends: linux-base, linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)
`
	k, err := newest(text, "6.1")
	require.NoError(t, err)
	require.Equal(t, kernel{Series: "6.1", Package: "linux-image-6.1.0-50-cloud-amd64", Version: "6.1.176-1"}, k)
	_, err = newest(text, "5.10")
	require.ErrorContains(t, err, "5.10")
}

func TestCachedKernelMustBeWhole(t *testing.T) {
	dir := t.TempDir()
	_, err := cachedKernel(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vmlinuz"), []byte("image"), 0o644))
	meta := func(sum string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "kernel.json"), []byte(`{"series":"6.1","vmlinuz_sha256":"`+sum+`"}`), 0o644))
	}
	sum, err := fileSum(filepath.Join(dir, "vmlinuz"))
	require.NoError(t, err)
	meta(sum)
	k, err := cachedKernel(dir)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "vmlinuz"), k.image)
	require.NoError(t, os.WriteFile(k.image, []byte("imag"), 0o644))
	_, err = cachedKernel(dir)
	require.ErrorContains(t, err, "SHA-256")
}
