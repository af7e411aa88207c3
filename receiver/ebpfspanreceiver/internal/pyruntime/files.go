package pyruntime

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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

// begins notes where a file is in memory, if a line of maps is of its beginning.
func begins(line string, at *uint64) {
	fields := strings.Fields(line)
	first, _, _ := strings.Cut(fields[0], "-")
	address, err := strconv.ParseUint(first, 16, 64)
	if offset, e := strconv.ParseUint(fields[2], 16, 64); err == nil && e == nil && offset == 0 && *at == 0 {
		*at = address
	}
}

// modulesOf are where extension modules are, from the library that loads them: pyenv and containers, and
// Debian.
var modulesOf = []string{"python3.*/lib-dynload", "../python3.*/lib-dynload"}

// Find looks through what a process has mapped: the file maps is its /proc/<pid>/maps, root its
// /proc/<pid>/root, exe the name of its executable there. A module that is not loaded yet is looked for where others are.
func Find(maps, root, exe string) (Files, error) {
	f, err := os.Open(maps)
	if err != nil {
		return Files{}, fmt.Errorf("list mapped files: %w", err)
	}
	defer f.Close()
	var found Files
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// address perms offset dev inode path, proc(5)
		n := strings.IndexByte(lines.Text(), '/')
		if n < 0 {
			continue
		}
		name := lines.Text()[n:]
		switch {
		case name == exe:
			begins(lines.Text(), &found.ExecutableAt)
		case library.MatchString(path.Base(name)):
			found.Library = name
			begins(lines.Text(), &found.LibraryAt)
		case path.Base(path.Dir(name)) == "lib-dynload":
			found.Modules = path.Dir(name)
		case loop.MatchString(name):
			found.Loop = name
		}
	}
	if err := lines.Err(); err != nil {
		return Files{}, fmt.Errorf("list mapped files: %w", err)
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
