// Package mapped lists the files that a process has in its memory: /proc/<pid>/maps, proc(5).
package mapped

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Part of a file that lies in memory from Start to before End: its bytes from Offset on. Name is as the process has it,
// whether it is still there or not.
type Part struct {
	Start, End, Offset uint64
	Name               string
}

// deleted ends the name of a file that is not there any more.
const deleted = " (deleted)"

// Files reads maps, and calls visit for each part of a file, by rising address, until that says no.
func Files(maps string, visit func(Part) (more bool)) error {
	f, err := os.Open(maps)
	if err != nil {
		return fmt.Errorf("list mapped files: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		p, ok, err := parse(lines.Text())
		if err != nil {
			return fmt.Errorf("list mapped files: %s: %w", maps, err)
		}
		if ok && !visit(p) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("list mapped files: %w", err)
	}
	return nil
}

// parse reads a line; ok: it is of a file.
//
//	7fc70dd00000-7fc70dfe3000 r--p 00000000 fd:00 1234   /usr/lib/jvm/…/libjvm.so (deleted)
func parse(line string) (p Part, ok bool, err error) {
	at := strings.IndexByte(line, '/')
	fields := strings.Fields(line[:max(at, 0)])
	if len(fields) != 5 {
		return p, false, nil
	}
	start, end, _ := strings.Cut(fields[0], "-")
	for _, number := range []struct {
		text string
		to   *uint64
	}{{start, &p.Start}, {end, &p.End}, {fields[2], &p.Offset}} {
		if *number.to, err = strconv.ParseUint(number.text, 16, 64); err != nil {
			return p, false, err
		}
	}
	p.Name = strings.TrimSuffix(line[at:], deleted)
	return p, true, nil
}

// Find is where the beginning of the first file lies whose name is one of those.
func Find(maps string, is func(name string) bool) (base uint64, found bool, err error) {
	err = Files(maps, func(p Part) bool {
		if p.Offset == 0 && is(p.Name) {
			base, found = p.Start, true
		}
		return !found
	})
	return base, found, err
}

// Base is where the beginning of a file lies.
func Base(maps, name string) (uint64, error) {
	base, found, err := Find(maps, func(other string) bool { return other == name })
	if err == nil && !found {
		err = fmt.Errorf("%s is not mapped", name)
	}
	return base, err
}

// Executable is where the beginning of the executable of a process lies, given by its directory in procfs.
func Executable(proc string) (base uint64, err error) {
	name, err := os.Readlink(filepath.Join(proc, "exe"))
	if err != nil {
		return 0, err
	}
	return Base(filepath.Join(proc, "maps"), strings.TrimSuffix(name, deleted))
}
