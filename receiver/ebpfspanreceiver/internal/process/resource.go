package process

import (
	"crypto/sha1" //nolint:gosec // UUID version 5 is defined with SHA-1, RFC 9562 section 5.5
	"encoding/hex"
	"fmt"
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

// measured are the attributes that only the collector may set: what a process declares of itself
// must not change where its spans are said to come from, because linking relies on it.
var measured = map[string]bool{
	"host.id": true, "host.name": true, "os.type": true, "process.pid": true,
	"process.executable.name": true, "process.executable.path": true,
}

func find(attrs []Attr, key string) string {
	for i := range attrs {
		if attrs[i].Key == key {
			return attrs[i].Str
		}
	}
	return ""
}

// attributes lists the resource attributes of a process. Semantic conventions 1.43.0: resource
// service, deployment, process, container, host, os, k8s.
func attributes(p *Process, declared []Attr, h *Host) []Attr {
	out := make([]Attr, 0, 16+len(declared))
	set := func(key, value string) {
		if value != "" {
			out = append(out, Attr{Key: key, Str: value})
		}
	}
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	env := func(name string) string {
		v, _ := p.env.get(name)
		return validText(v, maxAttributeText)
	}
	set("service.name", p.ServiceName)
	set("service.namespace", find(declared, "service.namespace"))
	set("service.version", first(find(declared, "service.version"), env(envDDVersion)))
	set("service.instance.id", first(find(declared, "service.instance.id"), instanceID(h, p.PID, p.Start)))
	// deployment.environment is the name of before semantic conventions 1.27.
	set("deployment.environment.name", first(find(declared, "deployment.environment.name"),
		find(declared, "deployment.environment"), env(envDDEnv)))
	out = append(out, Attr{Key: "process.pid", Int: int64(p.PID), IsInt: true})
	set("process.executable.name", p.executableName())
	set("process.executable.path", validText(p.Exe, maxPathText))
	set("process.runtime.name", first(p.Runtime.name(p.Exe), find(declared, "process.runtime.name")))
	set("container.id", first(p.ContainerID, find(declared, "container.id")))
	set("k8s.pod.uid", first(p.PodUID, find(declared, "k8s.pod.uid")))
	set("host.id", h.ID)
	set("host.name", h.Name)
	set("os.type", "linux")

	own := len(out)
	for _, a := range declared {
		if measured[a.Key] || a.Str == "" {
			continue
		}
		known := false
		for i := range own {
			known = known || out[i].Key == a.Key
		}
		if !known {
			out = append(out, a)
		}
	}
	return out
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
