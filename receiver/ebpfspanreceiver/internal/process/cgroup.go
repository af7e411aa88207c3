package process

import (
	"bytes"
	"strings"
)

// CGroup is one line of /proc/<pid>/cgroup, cgroups(7).
type CGroup struct {
	// V2 is the unified hierarchy; of the others Controllers names the hierarchy.
	V2          bool
	Controllers string
	// Path starts with a slash and is as seen from the collector's cgroup namespace.
	Path string
}

// maxCGroups bounds the lines kept; Linux has 14 controllers, named hierarchies are rare.
const maxCGroups = 64

func parseCGroups(b []byte) []CGroup {
	var out []CGroup
	for len(b) > 0 && len(out) < maxCGroups {
		line := b
		if n := bytes.IndexByte(b, '\n'); n >= 0 {
			line, b = b[:n], b[n+1:]
		} else {
			b = nil
		}
		_, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		controllers, path, ok := bytes.Cut(rest, []byte(":"))
		if !ok || len(path) == 0 || path[0] != '/' {
			continue
		}
		out = append(out, CGroup{
			V2:          len(controllers) == 0,
			Controllers: string(controllers),
			Path:        strings.TrimSuffix(string(path), " (deleted)"),
		})
	}
	return out
}

// container is what a cgroup path says about the container that a process runs in.
type container struct {
	id     string
	podUID string
}

// containerOf finds the innermost container that any path names. The unified hierarchy is asked
// first: on hybrid machines it is the one that every runtime fills.
func containerOf(groups []CGroup) container {
	var c container
	for _, v2 := range []bool{true, false} {
		for _, g := range groups {
			if g.V2 != v2 || g.Path == "/" {
				continue
			}
			found := containerOfPath(g.Path)
			if c.id == "" {
				c.id = found.id
			}
			if c.podUID == "" {
				c.podUID = found.podUID
			}
			if c.id != "" && c.podUID != "" {
				return c
			}
		}
	}
	return c
}

// runtimePrefixes stand before the id in the scope names that runtimes give to systemd.
var runtimePrefixes = []string{
	"docker-", "cri-containerd-", "containerd-", "crio-", "libpod-payload-", "libpod-", "podman-",
	"nerdctl-", "cri-dockerd-", "buildkit-", "runc-",
}

// conmonPrefixes name the scope of a container's supervisor, which runs outside the container.
var conmonPrefixes = []string{"crio-conmon-", "libpod-conmon-"}

func containerOfPath(path string) container {
	var c container
	segments := strings.Split(path, "/")
	for i := len(segments) - 1; i > 0; i-- {
		s := segments[i]
		parent := segments[i-1]
		if c.id == "" {
			c.id = containerSegment(s, parent)
		}
		if c.podUID == "" {
			c.podUID = podSegment(s)
		}
	}
	return c
}

// containerSegment returns the container id in one path segment, or "".
func containerSegment(s, parent string) string {
	// containerd with the wrong cgroup driver makes kubepods-….slice:cri-containerd:<id>.
	if n := strings.LastIndexByte(s, ':'); n >= 0 {
		s = s[n+1:]
	}
	for _, suffix := range []string{".scope", ".service", ".slice"} {
		s = strings.TrimSuffix(s, suffix)
	}
	for _, p := range conmonPrefixes {
		if strings.HasPrefix(s, p) {
			return ""
		}
	}
	if name, ok := strings.CutPrefix(s, "lxc.payload."); ok {
		return validText(name, 128)
	}
	for _, p := range runtimePrefixes {
		if id, ok := strings.CutPrefix(s, p); ok {
			s = id
			break
		}
	}
	switch {
	case len(s) == 64 && isHex(s):
		return s
	case fargateID(s):
		return s
	case parent == "garden" && len(s) >= 28 && len(s) <= 36 && isHex(strings.ReplaceAll(s, "-", "")):
		return s // Cloud Foundry names a container by a UUID, sometimes short of its last group
	case parent == "lxc" && s != "":
		return validText(s, 128)
	}
	return ""
}

// fargateID: ECS on Fargate names a container <task id, 32 hex>-<number>.
func fargateID(s string) bool {
	task, number, ok := strings.Cut(s, "-")
	if !ok || len(task) != 32 || !isHex(task) || number == "" || len(number) > 10 {
		return false
	}
	return strings.Trim(number, "0123456789") == ""
}

// podSegment returns the pod's UID with dashes: cgroupfs writes pod<uid>, systemd
// kubepods-<class>-pod<uid with underscores>.slice. Static pods have 32 hex digits instead.
func podSegment(s string) string {
	s, _, _ = strings.Cut(s, ":")
	s = strings.TrimSuffix(s, ".slice")
	if n := strings.LastIndex(s, "-pod"); n >= 0 && strings.HasPrefix(s, "kubepods") {
		s = s[n+1:]
	}
	uid, ok := strings.CutPrefix(s, "pod")
	if !ok {
		return ""
	}
	uid = strings.ReplaceAll(uid, "_", "-")
	bare := strings.ReplaceAll(uid, "-", "")
	if len(bare) != 32 || !isHex(bare) || (len(uid) != 36 && len(uid) != 32) {
		return ""
	}
	return uid
}

func isHex(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return s != ""
}

// containerOfMounts finds the id in /proc/<pid>/mountinfo, proc_pid_mountinfo(5): where a cgroup
// namespace hides the path ("/"), Docker and Podman still mount files from the container's own
// directory over these three.
func containerOfMounts(b []byte) string {
	for len(b) > 0 {
		line := b
		if n := bytes.IndexByte(b, '\n'); n >= 0 {
			line, b = b[:n], b[n+1:]
		} else {
			b = nil
		}
		f := bytes.Fields(line)
		if len(f) < 5 {
			continue
		}
		switch string(f[4]) {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
		default:
			continue
		}
		segments := strings.Split(string(f[3]), "/")
		for i := 1; i < len(segments); i++ {
			// containerd's "sandboxes" holds the pod's id, not the container's.
			if segments[i-1] != "containers" && segments[i-1] != "overlay-containers" {
				continue
			}
			if len(segments[i]) == 64 && isHex(segments[i]) {
				return segments[i]
			}
		}
	}
	return ""
}
