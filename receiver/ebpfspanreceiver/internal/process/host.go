//go:build linux

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadHost reads the identity of the machine. proc is where procfs is mounted ("/proc") and root
// the file system that /etc, /var and /sys are below ("/").
func ReadHost(proc, root string) (Host, error) {
	var h Host
	boot, err := ReadBootID(proc)
	if err != nil {
		return h, err
	}
	h.BootID = boot
	if name, err := os.ReadFile(filepath.Join(proc, "sys/kernel/hostname")); err == nil {
		h.Name = validText(string(name), 255)
	} else if h.Name, err = os.Hostname(); err != nil {
		return h, fmt.Errorf("host name: %w: mount procfs at %s", err, proc)
	}
	if id, ok := machineID(readIn(filepath.Join(proc, "1/root"), "etc/machine-id")); ok {
		h.ID, h.IDSource = id, filepath.Join(proc, "1/root/etc/machine-id")
		return h, nil
	}
	for _, name := range []string{"etc/machine-id", "var/lib/dbus/machine-id"} {
		if id, ok := machineID(readIn(root, name)); ok {
			h.ID, h.IDSource = id, filepath.Join(root, name)
			return h, nil
		}
	}
	const dmi = "sys/class/dmi/id/product_uuid"
	if id, ok := productUUID(readIn(root, dmi)); ok {
		h.ID, h.IDSource = id, filepath.Join(root, dmi)
		return h, nil
	}
	h.ID, h.IDSource = h.BootID, filepath.Join(proc, bootIDFile)
	return h, nil
}

const bootIDFile = "sys/kernel/random/boot_id"

// ReadBootID returns the UUID that the kernel drew at boot, random(4).
func ReadBootID(proc string) (string, error) {
	name := filepath.Join(proc, bootIDFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("boot id: %w: mount procfs at %s", err, proc)
	}
	id := strings.ToLower(strings.TrimSpace(string(b)))
	if len(id) != 36 || !isHex(strings.ReplaceAll(id, "-", "")) {
		return "", fmt.Errorf("boot id: %s does not hold a UUID: mount the kernel's own procfs at %s", name, proc)
	}
	return id, nil
}

// InitPIDNamespace says whether proc shows the process ids that the kernel, and so every BPF
// program, uses. A collector in a container needs the host's pid namespace for that.
func InitPIDNamespace(proc string) (bool, error) {
	target, err := os.Readlink(filepath.Join(proc, "self/ns/pid"))
	if err != nil {
		return false, fmt.Errorf("pid namespace: %w", err)
	}
	// PROC_PID_INIT_INO, include/linux/proc_ns.h: fixed, part of the kernel's interface.
	return target == "pid:[4026531836]", nil
}

// readIn reads a small file below dir; links inside are followed as if dir were "/", because an
// absolute link in another root must not lead into ours.
func readIn(dir, name string) string {
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(at) }()
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_IN_ROOT}
	if dir == "/" {
		how.Resolve = 0 // sysfs is full of links that RESOLVE_IN_ROOT would follow just the same
	}
	fd, err := unix.Openat2(at, name, &how)
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.6, or a filter
		fd, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 0, 256)
	b, whole, err := readFD(fd, &buf, 255)
	if err != nil || !whole {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// machineID accepts what machine-id(5) allows and refuses "uninitialized" and all zeros.
func machineID(s string) (string, bool) {
	s = strings.ToLower(s)
	return s, len(s) == 32 && isHex(s) && strings.Trim(s, "0") != ""
}

// productUUID refuses the values that firmware has when nobody set one.
func productUUID(s string) (string, bool) {
	s = strings.ToLower(s)
	bare := strings.ReplaceAll(s, "-", "")
	return s, len(s) == 36 && len(bare) == 32 && isHex(bare) &&
		strings.Trim(bare, "0") != "" && strings.Trim(bare, "f") != ""
}
