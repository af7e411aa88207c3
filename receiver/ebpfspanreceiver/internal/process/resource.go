package process

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
	set("process.executable.path", validText(p.Exe, maxPath))
	set("process.runtime.name", first(p.Runtime.name(), find(declared, "process.runtime.name")))
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
