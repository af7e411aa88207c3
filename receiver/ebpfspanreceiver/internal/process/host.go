package process

import (
	"crypto/sha1" //nolint:gosec // UUID version 5 is defined with SHA-1, RFC 9562 section 5.5
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Host names the machine, or rather its running kernel.
type Host struct {
	// ID is host.id, from the first of these that is usable: /etc/machine-id of process 1's root
	// (the machine's own when the collector's container shares the host's processes), /etc/machine-id,
	// /var/lib/dbus/machine-id, the DMI product UUID, and last the boot id, which changes at reboot.
	ID string
	// IDSource is the file that ID came from.
	IDSource string
	// Name is host.name, the kernel's host name in the collector's UTS namespace.
	Name string
	// BootID is new at each boot.
	BootID string
}

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

// instanceNamespace is the UUID that the semantic conventions ask service.instance.id to be made
// with.
var instanceNamespace = [16]byte{
	0x4d, 0x63, 0x00, 0x9a, 0x8d, 0x0f, 0x11, 0xee, 0xaa, 0xd7, 0x4c, 0x79, 0x6e, 0xd8, 0xe3, 0x20,
}

// instanceID is service.instance.id: a version 5 UUID (RFC 9562 section 5.5) of what makes a
// process unique, so a restarted collector finds the same one.
func instanceID(h *Host, pid int, start uint64) string {
	hash := sha1.New() //nolint:gosec // see the import
	hash.Write(instanceNamespace[:])
	fmt.Fprintf(hash, "%s/%s/%d/%d", h.ID, h.BootID, pid, start)
	var u [16]byte
	copy(u[:], hash.Sum(nil))
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	s := hex.EncodeToString(u[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
