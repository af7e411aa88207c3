//go:build linux

package process

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite what the fixtures in testdata want")

// TestDescribe reads the process of each fixture and compares all that is said of it.
func TestDescribe(t *testing.T) {
	names, err := filepath.Glob("testdata/describe/*.txt")
	require.NoError(t, err)
	require.Greater(t, len(names), 20, "fixtures are missing")
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			f := readFixture(t, name)
			root := t.TempDir()
			fakeProc(t, root, 42, f)
			r := NewReader(root, testHost)
			var got strings.Builder
			p, err := r.Describe(42)
			if err != nil {
				fmt.Fprintf(&got, "error: %v\n", err)
			} else {
				fmt.Fprintf(&got, "from: %s\n", p.ServiceNameFrom)
				for _, a := range p.Attributes() {
					if a.IsInt {
						fmt.Fprintf(&got, "%s: %d\n", a.Key, a.Int)
					} else {
						fmt.Fprintf(&got, "%s: %q\n", a.Key, a.Str)
					}
				}
			}
			r.Counters.Snapshot(func(reason Reason, n uint64) {
				if n > 0 {
					fmt.Fprintf(&got, "counted %s: %d\n", reason, n)
				}
			})
			if *update {
				require.NoError(t, os.WriteFile(name, []byte(f.raw+"-- want --\n"+got.String()), 0o644))
				return
			}
			assert.Equal(t, f.want, got.String())
		})
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	root := t.TempDir()
	f := process("/usr/bin/python3", []string{"OTEL_SERVICE_NAME=shop", "TOKEN=hunter2"})
	f.files["cmdline"] = "python3\x00-c\x00password='hunter2'\x00"
	fakeProc(t, root, 42, f)
	p, err := NewReader(root, testHost, "TOKEN").Describe(42)
	require.NoError(t, err)
	require.Equal(t, "hunter2", p.env.values["TOKEN"], "the selector's variable is kept")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		assert.NotContains(t, fmt.Sprintf(verb, p), "hunter2", verb)
		assert.NotContains(t, fmt.Sprintf(verb, *p), "hunter2", verb)
	}
	for _, a := range p.Attributes() {
		assert.NotContains(t, a.Str, "hunter2", a.Key)
	}
}

func TestDescribeRefuses(t *testing.T) {
	root := t.TempDir()
	fakeProc(t, root, 2, process("", nil, "flags=2129984", "comm=kthreadd"))
	fakeProc(t, root, 3, process("/bin/a", nil, "state=Z"))
	fakeProc(t, root, 4, process("/bin/a", nil, "tgid=5"))
	fakeProc(t, root, 6, process("/bin/a", nil, "state=Z", "threads=3"))
	fakeProc(t, root, 7, process("/bin/a", nil))
	require.NoError(t, os.WriteFile(filepath.Join(root, "7/stat"), []byte("7 (a"), 0o644))
	fakeProc(t, root, 8, process("/bin/a", nil))
	require.NoError(t, os.WriteFile(filepath.Join(root, "8/status"), []byte("Name: a"), 0o644))
	r := NewReader(root, testHost)
	for pid, want := range map[int]error{
		2: ErrKernelThread, 3: ErrZombie, 4: ErrThread, 6: ErrFirstThreadEnded, 7: errStat, 8: errStatus, 99: ErrGone,
	} {
		_, err := r.Describe(pid)
		assert.ErrorIs(t, err, want, "pid %d", pid)
	}
	_, err := r.Describe(-1)
	assert.ErrorContains(t, err, "must be 1 or more")
	assert.EqualValues(t, 1, r.Counters.Get(KernelThread))
	assert.EqualValues(t, 2, r.Counters.Get(Zombie))
	assert.EqualValues(t, 1, r.Counters.Get(Thread))
	assert.EqualValues(t, 1, r.Counters.Get(Gone))
	assert.EqualValues(t, 3, r.Counters.Get(Unreadable))
}

func TestBounds(t *testing.T) {
	root := t.TempDir()
	long := strings.Repeat("x", maxEnvValue+10)
	f := process("/bin/a", []string{"OTEL_SERVICE_NAME=" + long, "PAD=" + strings.Repeat("y", maxEnviron), "DD_ENV=late"})
	fakeProc(t, root, 42, f)
	r := NewReader(root, testHost)
	p, err := r.Describe(42)
	require.NoError(t, err)
	assert.Equal(t, long[:255], p.ServiceName)
	assert.Empty(t, find(p.Attributes(), "deployment.environment.name"))
	assert.EqualValues(t, 1, r.Counters.Get(EnvironTruncated))
	assert.EqualValues(t, 1, r.Counters.Get(EnvValueTruncated))
}

func TestCutAttributesKeepWholeMembers(t *testing.T) {
	root := t.TempDir()
	var list strings.Builder
	for i := 0; list.Len() < maxEnvValue; i++ {
		fmt.Fprintf(&list, "k%d=%s,", i, strings.Repeat("v", 200))
	}
	fakeProc(t, root, 42, process("/bin/a", []string{"OTEL_RESOURCE_ATTRIBUTES=" + list.String()}))
	r := NewReader(root, testHost)
	p, err := r.Describe(42)
	require.NoError(t, err)
	n := 0
	for _, a := range p.Attributes() {
		if strings.HasPrefix(a.Key, "k") && !strings.Contains(a.Key, ".") {
			assert.Len(t, a.Str, 200, a.Key)
			n++
		}
	}
	assert.Greater(t, n, 50)
	assert.EqualValues(t, 1, r.Counters.Get(EnvValueTruncated))
	assert.Zero(t, r.Counters.Get(AttributesInvalid))
}

func TestInstanceID(t *testing.T) {
	a := instanceID(&testHost, 42, 100)
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, a)
	assert.Equal(t, a, instanceID(&testHost, 42, 100))
	other := testHost
	other.BootID = "1e996cb1-9747-4532-96d8-f4576ddf1d78"
	for _, b := range []string{instanceID(&testHost, 43, 100), instanceID(&testHost, 42, 101), instanceID(&other, 42, 100)} {
		assert.NotEqual(t, a, b)
	}
}

func TestReadHost(t *testing.T) {
	proc, root := t.TempDir(), t.TempDir()
	put := func(dir, name, body string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644))
	}
	_, err := ReadHost(proc, root)
	assert.ErrorContains(t, err, "mount procfs at")
	put(proc, bootIDFile, "not a uuid\n")
	_, err = ReadHost(proc, root)
	assert.ErrorContains(t, err, "does not hold a UUID")

	const boot = "0e996cb1-9747-4532-96d8-f4576ddf1d78"
	put(proc, bootIDFile, boot+"\n")
	put(proc, "sys/kernel/hostname", "node-1\n")
	expect := func(id, source string) {
		t.Helper()
		h, err := ReadHost(proc, root)
		require.NoError(t, err)
		assert.Equal(t, Host{ID: id, IDSource: source, Name: "node-1", BootID: boot}, h)
	}
	expect(boot, filepath.Join(proc, bootIDFile))
	put(root, "sys/class/dmi/id/product_uuid", "00000000-0000-0000-0000-000000000000\n")
	expect(boot, filepath.Join(proc, bootIDFile))
	put(root, "sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8054-B9C04F4E5A32\n")
	expect("4c4c4544-0042-3510-8054-b9c04f4e5a32", filepath.Join(root, "sys/class/dmi/id/product_uuid"))
	put(root, "etc/machine-id", "uninitialized\n")
	put(root, "var/lib/dbus/machine-id", "11111111111111111111111111111111\n")
	expect("11111111111111111111111111111111", filepath.Join(root, "var/lib/dbus/machine-id"))
	put(root, "etc/machine-id", "22222222222222222222222222222222\n")
	expect("22222222222222222222222222222222", filepath.Join(root, "etc/machine-id"))
	// The root of process 1 is another file system: its absolute links stay inside it.
	put(proc, "1/root/usr/id", "33333333333333333333333333333333\n")
	require.NoError(t, os.MkdirAll(filepath.Join(proc, "1/root/etc"), 0o755))
	require.NoError(t, os.Symlink("/usr/id", filepath.Join(proc, "1/root/etc/machine-id")))
	expect("33333333333333333333333333333333", filepath.Join(proc, "1/root/etc/machine-id"))
}

func TestDeclared(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "[]",
		"a=1,b=2":                      "[a=1 b=2]",
		" a = 1 , ,b=2,":               "[a=1 b=2]",
		"a=x%2Cy%3Dz":                  "[a=x,y=z]",
		"a%2Eb=c+d":                    "[a.b=c+d]",
		"a=b=c":                        "[a=b=c]",
		"a=1,a=2":                      "[a=2]",
		"a=%E2%82%AC":                  "[a=€]",
		"a=%FF":                        "[a=\uFFFD]",
		"a=":                           "[a=]",
		"a=1%0a2":                      "[a=12]",
		"a":                            "error",
		"=1":                           "error",
		"a=1,b":                        "error",
		"a=%":                          "error",
		"a=%2":                         "error",
		"a=%zz":                        "error",
		"service.name=cart,x=%E0%A4%A": "error",
	} {
		attrs, _, err := parseDeclared(in)
		got := []string{}
		for _, a := range attrs {
			got = append(got, a.Key+"="+a.Str)
		}
		text := fmt.Sprint(got)
		if err != nil {
			text = "error"
		}
		assert.Equal(t, want, text, "%q", in)
	}
	_, dropped, err := parseDeclared(strings.Repeat("a=1,", 5) + func() string {
		var b bytes.Buffer
		for i := range maxAttributes + 3 {
			fmt.Fprintf(&b, "k%d=v,", i)
		}
		return b.String()
	}())
	assert.NoError(t, err)
	assert.Equal(t, 4, dropped)
}

func TestProgramName(t *testing.T) {
	for _, c := range []struct {
		rt   Runtime
		args string
		cwd  string
		want string
	}{
		{RuntimePython, "python3 cart.py", "/", "cart"},
		{RuntimePython, "python3 -u -X dev -W ignore /srv/cart.py --port 1", "/", "cart"},
		{RuntimePython, "python3 app.py", "/srv/cart", "cart"},
		{RuntimePython, "python3 ./src/main.py", "/srv/cart", "cart"},
		{RuntimePython, "python3 /app/app.py", "/", "app"},
		{RuntimePython, "python3 manage.py runserver", "/code/shop", "shop"},
		{RuntimePython, "python3 -m http.server 80", "/", "http"},
		{RuntimePython, "python3 -mcart", "/", "cart"},
		{RuntimePython, "python3 -m uvicorn shop.main:app --port 80", "/", "shop"},
		{RuntimePython, "python3 /usr/bin/gunicorn -b 0.0.0.0:80 shop.wsgi:app", "/", "shop"},
		{RuntimePython, "python3 /usr/bin/gunicorn -c conf.py", "/", "gunicorn"},
		{RuntimePython, "gunicorn:~master~[shop.wsgi:app]", "/", "shop"},
		{RuntimePython, "python3 -c secret", "/", ""},
		{RuntimePython, "python3 -Bc secret", "/", ""},
		{RuntimePython, "python3 -csecret", "/", ""},
		{RuntimePython, "python3 -", "/", ""},
		{RuntimePython, "python3 -i", "/", ""},
		{RuntimePython, "python3 -m", "/", ""},
		{RuntimePython, "python3", "/", ""},
		{RuntimeNode, "node cart.js", "/", "cart"},
		{RuntimeNode, "node --require ./tracing.js --inspect dist/index.js", "/srv/cart", "cart"},
		{RuntimeNode, "node /srv/x/node_modules/.bin/next start", "/", "next"},
		{RuntimeNode, "node /srv/x/node_modules/@nestjs/cli/bin/nest.js", "/", "@nestjs/cli"},
		{RuntimeNode, "node -e secret", "/", ""},
		{RuntimeNode, "node -pe secret", "/", ""},
		{RuntimeDeno, "deno run --allow-net main.ts", "/srv/cart", "cart"},
		{RuntimeJava, "java -Xmx1g -cp a:b com.acme.cart.CartServer", "/", "CartServer"},
		{RuntimeJava, "java com.acme.cart.Main --x", "/", "cart"},
		{RuntimeJava, "java com.acme.cart.ApplicationKt", "/", "cart"},
		{RuntimeJava, "java -jar /opt/cart-service-1.4.2-SNAPSHOT.jar", "/", "cart-service"},
		{RuntimeJava, "java -jar app.jar", "/opt/cart", "cart"},
		{RuntimeJava, "java -Dotel.service.name=basket -jar app.jar", "/opt/cart", "basket"},
		{RuntimeJava, "java -Dspring.application.name=s -Ddd.service=d -jar app.jar", "/", "d"},
		{RuntimeJava, "java -Xmx1g kafka.Kafka config/server.properties", "/", "kafka"},
		{RuntimeJava, "java org.springframework.boot.loader.launch.JarLauncher", "/", ""},
		{RuntimeJava, "java -m shop/com.acme.Cart", "/", "Cart"},
		{RuntimeJava, "java --version", "/", ""},
		{RuntimeRuby, "ruby -I lib bin/rails server", "/srv/cart", "cart"},
		{RuntimeRuby, "ruby -e secret", "/", ""},
		{RuntimePerl, "perl -w cart.pl", "/", "cart"},
		{RuntimePerl, "perl -esecret", "/", ""},
		{RuntimePHP, "php artisan serve", "/var/www/cart", "cart"},
		{RuntimePHP, "php -d x=y -f cart.php", "/", "cart"},
		{RuntimePHP, "php -r secret", "/", ""},
		{RuntimeDotnet, "dotnet /app/Cart.Api.dll", "/", "Cart.Api"},
		{RuntimeDotnet, "dotnet run", "/", ""},
		{RuntimeMono, "mono --debug --config /etc/mono/config /app/Cart.Api.exe --urls x", "/", "Cart.Api"},
		{RuntimeMono, "mono Server.exe", "/srv/cart", "cart"},
		{RuntimeMono, "mono --version", "/", ""},
		{RuntimeShell, "bash -x /usr/local/bin/cart.sh", "/", "cart"},
		{RuntimeShell, "bash -c secret", "/", ""},
		{RuntimeShell, "bash /proc/self/fd/3", "/", ""},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "~", " ")
		}
		got := programName(c.rt, args, func() string { return c.cwd })
		assert.Equal(t, c.want, got, "%s in %s", c.args, c.cwd)
	}
}
