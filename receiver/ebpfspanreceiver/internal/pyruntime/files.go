package pyruntime

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/mapped"
)

// Files are those of one process that have sites, as the process names them. Empty: not there.
type Files struct {
	// Library is libpython; empty where the executable holds it all.
	Library string
	// Modules is the directory of extension modules.
	Modules string
	// Queue is the module _queue; empty: it is built in.
	Queue string
	// Loop is the module of uvloop.
	Loop string
	// ExecutableAt and LibraryAt are where these begin in the memory of the process; 0: they are not mapped.
	ExecutableAt, LibraryAt uint64
}

var (
	library = regexp.MustCompile(`^libpython3\.\d+[a-z]*\.so`)
	loop    = regexp.MustCompile(`/uvloop/loop\.[^/]*so$`)
)

// modulesOf are where extension modules are, from the library that loads them: pyenv and containers, and
// Debian.
var modulesOf = []string{"python3.*/lib-dynload", "../python3.*/lib-dynload"}

// Find looks through what a process has mapped: the file maps is its /proc/<pid>/maps, root its
// /proc/<pid>/root, exe the name of its executable there. A module that is not loaded yet is looked for where others are.
func Find(maps, root, exe string) (Files, error) {
	var found Files
	err := mapped.Files(maps, func(p mapped.Part) bool {
		switch {
		case p.Name == exe:
			if p.Offset == 0 && found.ExecutableAt == 0 {
				found.ExecutableAt = p.Start
			}
		case library.MatchString(path.Base(p.Name)):
			found.Library = p.Name
			if p.Offset == 0 && found.LibraryAt == 0 {
				found.LibraryAt = p.Start
			}
		case path.Base(path.Dir(p.Name)) == "lib-dynload":
			found.Modules = path.Dir(p.Name)
		case loop.MatchString(p.Name):
			found.Loop = p.Name
		}
		return true
	})
	if err != nil {
		return Files{}, err
	}
	if found.Modules == "" && found.Library != "" {
		for _, pattern := range modulesOf {
			dirs, err := filepath.Glob(filepath.Join(root, path.Dir(found.Library), pattern))
			if err == nil && len(dirs) == 1 {
				found.Modules = strings.TrimPrefix(dirs[0], root)
				break
			}
		}
	}
	if found.Modules == "" {
		return found, nil
	}
	files, err := filepath.Glob(filepath.Join(root, found.Modules, "_queue.*.so"))
	if err == nil && len(files) == 1 {
		found.Queue = path.Join(found.Modules, filepath.Base(files[0]))
	}
	return found, nil
}
