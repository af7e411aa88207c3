package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// errDamaged is in errors about files that cannot be understood.
var errDamaged = errors.New("damaged")

// The errors of Open name the cause, the directory and the remedy.

func makeDir(dir string) error {
	if dir == "" {
		return errors.New("storage directory is empty: name one")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("cannot make the storage directory %s: %w; make it yourself and give this user write access, or set storage::directory to another", dir, err)
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("cannot write to the storage directory %s: %w; give this user write access, free space, or set storage::directory to another", dir, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// lockDir takes the directory for this process and writes the pid for others to read.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the storage directory %s: %w; give this user write access", dir, err)
	}
	if err := hold(f); err != nil {
		return nil, errors.Join(inUse(dir, path, err), f.Close())
	}
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
		if err != nil {
			return nil, errors.Join(noSpace(dir, err), f.Close())
		}
	}
	return f, nil
}

func inUse(dir, lock string, err error) error {
	holder := ""
	if pid, rerr := os.ReadFile(lock); rerr == nil && len(pid) > 0 {
		holder = fmt.Sprintf(" (pid %s)", strings.TrimSpace(string(pid)))
	}
	return fmt.Errorf("storage directory %s is in use by another process or pipeline%s: stop it, or set storage::directory to another for each pipeline: %w", dir, holder, err)
}

func noSpace(dir string, err error) error {
	return fmt.Errorf("no space left in the storage directory %s: free some: %w", dir, err)
}

// explain says what an error of Badger on opening dir means.
func explain(dir string, err error) error {
	msg := err.Error()
	switch {
	case strings.Contains(msg, "Cannot acquire directory lock"):
		return inUse(dir, filepath.Join(dir, "LOCK"), err)
	case strings.Contains(msg, "no space left"):
		return noSpace(dir, err)
	case strings.Contains(msg, "permission denied"):
		return fmt.Errorf("no access to files in the storage directory %s: give this user read and write access: %w", dir, err)
	case strings.Contains(msg, "unsupported version"):
		return fmt.Errorf("storage directory %s was written by another version of Badger: run the collector that wrote it until it is empty, or move the directory away to start without it (spans that wait in it are then not delivered): %w", dir, err)
	default:
		return corrupt(dir, err)
	}
}

func corrupt(dir string, err error) error {
	return fmt.Errorf("storage directory %s is %w: restore it, or move it away to start without it (spans that wait in it are then not delivered): %w", dir, errDamaged, err)
}

func wrongVersion(dir string, version int) error {
	which := "a newer"
	if version < FormatVersion {
		which = "an older"
	}
	return fmt.Errorf("storage directory %s has format version %d of %s collector, this one knows %d: run the version that wrote it until it is empty, or move the directory away to start without it (spans that wait in it are then not delivered)", dir, version, which, FormatVersion)
}
