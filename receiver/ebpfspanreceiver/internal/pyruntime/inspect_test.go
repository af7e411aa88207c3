package pyruntime

import (
	"path/filepath"
	"testing"
)

func TestDump(t *testing.T) {
	var files []string
	for _, g := range []string{"/root/.pyenv/versions/*/lib/libpython3.[0-9]*.so.1.0", "/usr/bin/python3.11", "/usr/lib/x86_64-linux-gnu/libpython3.*.so.1.0", "/usr/lib/google-cloud-sdk/platform/bundledpythonunix/lib/libpython3.12.so.1.0", "/root/.pyenv/versions/*/lib/python3.*/lib-dynload/_queue*.so","/usr/lib/python3.11/lib-dynload/_queue*"} {
		m, _ := filepath.Glob(g)
		files = append(files, m...)
	}
	for _, f := range files {
		c, err := Contexts(f)
		t.Log(f)
		for _, s := range c { t.Logf("   %d %#x", s.Kind, s.Offset) }
		if err != nil { t.Log("   ", err) }
		q, err := Queue(f)
		for _, s := range q { t.Logf("   q %d %#x %v", s.Kind, s.Offset, s.Return) }
		if err != nil { t.Log("   q", err) }
	}
}
