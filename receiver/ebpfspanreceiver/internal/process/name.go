package process

import (
	"path"
	"strings"
)

// programName names a process whose executable is an interpreter by what it interprets, in this
// order: a name that the command line gives itself (-Dotel.service.name=…), the module, jar, main
// class or script, and where that name says nothing (main.py, index.js, App) the directory or
// package around it. It returns "" when the command line shows none: an interactive interpreter, or
// code given with -c or -e, which may hold secrets and is never used.
//
// cwd is asked at most once, for a script given by a relative path.
func programName(rt Runtime, args []string, cwd func() string) string {
	if len(args) == 0 {
		return ""
	}
	var name string
	switch rt {
	case RuntimePython, RuntimePyPy:
		name = pythonName(args, cwd)
	case RuntimeNode, RuntimeBun, RuntimeDeno:
		name = nodeName(args[1:], cwd)
	case RuntimeJava:
		name = javaName(args[1:], cwd)
	case RuntimeRuby:
		name = scriptAfter(args[1:], "-I-r-C-E-W", "-e", "", cwd)
	case RuntimePerl:
		name = scriptAfter(args[1:], "", "-e-E", "", cwd)
	case RuntimePHP:
		name = scriptAfter(args[1:], "-d-c-z-S-t", "-r-R-B-E", "-f-F", cwd)
	case RuntimeDotnet:
		name = dotnetName(args[1:], cwd)
	case RuntimeMono:
		name = monoName(args[1:], cwd)
	case RuntimeShell:
		name = scriptAfter(args[1:], "-o+o", "-c", "", cwd)
	}
	return validText(name, 255)
}

// takes says whether opt, two characters, is in a list such as "-W-X".
func takes(list, opt string) bool {
	for i := 0; i+2 <= len(list); i += 2 {
		if list[i:i+2] == opt {
			return true
		}
	}
	return false
}

// scriptAfter finds the first operand. Options in withValue take the next argument, an option in
// code means that there is no script, and the argument of one in file is the script.
func scriptAfter(args []string, withValue, code, file string, cwd func() string) string {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			if i+1 < len(args) {
				return scriptName(args[i+1], cwd)
			}
			return ""
		case a == "-" || a == "":
			return ""
		case a[0] != '-' && a[0] != '+':
			return scriptName(a, cwd)
		case len(a) >= 2 && a[:2] != "--" && takes(code, a[:2]):
			return ""
		case len(a) == 2 && takes(file, a):
			if i+1 < len(args) {
				return scriptName(args[i+1], cwd)
			}
			return ""
		case len(a) == 2 && takes(withValue, a):
			i++
		}
	}
	return ""
}

func pythonName(args []string, cwd func() string) string {
	// gunicorn rewrites its title: "gunicorn: master [shop.wsgi:app]".
	if rest, ok := strings.CutPrefix(args[0], "gunicorn: "); ok {
		if _, app, ok := strings.Cut(rest, " ["); ok {
			app, _, _ = strings.Cut(app, "]")
			return moduleName(app)
		}
		return "gunicorn"
	}
	rest := args[1:]
	for i := 0; i < len(rest); i++ {
		a := rest[i]
		switch {
		case strings.HasPrefix(a, "-c"):
			return ""
		case strings.HasPrefix(a, "-m"):
			module := a[2:]
			if module == "" {
				if i++; i >= len(rest) {
					return ""
				}
				module = rest[i]
			}
			return launchedName(moduleName(module), rest[min(i+1, len(rest)):])
		case a == "-W" || a == "-X" || a == "--check-hash-based-pycs":
			i++
		case a == "" || a == "-":
			return ""
		case a[0] == '-':
			// -Bu and the like may end in an option with its own value: -Bc, -um.
			if len(a) > 2 && a[1] != '-' && a[1] != 'W' && a[1] != 'X' && strings.ContainsAny(a, "cm") {
				return ""
			}
		default:
			return launchedName(scriptName(a, cwd), rest[i+1:])
		}
	}
	return ""
}

// launchedName: an application server is named by the application that it is told to load,
// package.module:object.
func launchedName(launcher string, args []string) string {
	switch launcher {
	case "gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "waitress-serve", "waitress":
	default:
		return launcher
	}
	for _, a := range args {
		module, object, ok := strings.Cut(a, ":")
		if ok && isDotted(module) && object != "" && (object[0] == '_' || isLetter(object[0])) {
			return moduleName(module)
		}
	}
	return launcher
}

// moduleName is the first part of a dotted module that says something, "shop" of shop.wsgi:app.
func moduleName(module string) string {
	module, _, _ = strings.Cut(module, ":")
	if !isDotted(module) {
		return ""
	}
	parts := strings.Split(module, ".")
	for _, p := range parts {
		if p != "" && !genericName[strings.ToLower(p)] && !genericDir[strings.ToLower(p)] {
			return p
		}
	}
	return parts[0]
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDotted(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && c != '_' && c != '.' && c != '-' && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && (isLetter(s[0]) || s[0] == '_')
}

func nodeName(args []string, cwd func() string) string {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch a {
		case "-e", "--eval", "-p", "--print", "-pe", "-", "", "-i", "--interactive", "eval", "repl":
			return ""
		case "-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions",
			"--env-file", "--icu-data-dir", "--title":
			i++
			continue
		case "run", "serve", "task": // deno and bun
			continue
		case "--":
			continue
		}
		if a[0] == '-' {
			continue
		}
		// A tool started from node_modules is named by its package.
		if n := strings.LastIndex(a, "node_modules/"); n >= 0 {
			parts := strings.Split(a[n+len("node_modules/"):], "/")
			if parts[0] == ".bin" && len(parts) > 1 {
				return parts[1]
			}
			if strings.HasPrefix(parts[0], "@") && len(parts) > 1 {
				return parts[0] + "/" + parts[1]
			}
			return parts[0]
		}
		return scriptName(a, cwd)
	}
	return ""
}

var javaValueOptions = map[string]bool{
	"-cp": true, "-classpath": true, "--class-path": true, "-p": true, "--module-path": true,
	"--upgrade-module-path": true, "--add-modules": true, "--add-opens": true, "--add-exports": true,
	"--add-reads": true, "--limit-modules": true, "--patch-module": true, "--source": true,
	"--enable-native-access": true,
}

// knownMain names servers whose main class is a launcher.
var knownMain = map[string]string{
	"org.apache.catalina.startup.Bootstrap":             "tomcat",
	"org.eclipse.jetty.start.Main":                      "jetty",
	"org.elasticsearch.bootstrap.Elasticsearch":         "elasticsearch",
	"org.elasticsearch.server.cli.ServerCli":            "elasticsearch",
	"kafka.Kafka":                                       "kafka",
	"org.apache.zookeeper.server.quorum.QuorumPeerMain": "zookeeper",
	"org.apache.cassandra.service.CassandraDaemon":      "cassandra",
}

func javaName(args []string, cwd func() string) string {
	program := ""
	fromProperty := map[string]string{}
scan:
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-jar":
			if i+1 < len(args) {
				program = jarName(args[i+1], cwd)
			}
			break scan
		case a == "-m" || a == "--module":
			if i+1 < len(args) {
				module, class, ok := strings.Cut(args[i+1], "/")
				if !ok {
					class = module
				}
				program = className(class)
			}
			break scan
		case javaValueOptions[a]:
			i++
		case strings.HasPrefix(a, "-D"):
			if key, value, ok := strings.Cut(a[2:], "="); ok && value != "" {
				switch key {
				case "otel.service.name", "dd.service", "spring.application.name":
					fromProperty[key] = value
				}
			}
		case a == "" || a[0] == '-' || a[0] == '@':
		case strings.HasSuffix(a, ".java"):
			program = scriptName(a, cwd)
			break scan
		default:
			program = className(a)
			break scan
		}
	}
	for _, key := range []string{"otel.service.name", "dd.service", "spring.application.name"} {
		if v := fromProperty[key]; v != "" {
			return v
		}
	}
	return program
}

// className is the simple name of a class, or its package when the class is called Main or the like.
func className(class string) string {
	if name, ok := knownMain[class]; ok {
		return name
	}
	if strings.HasPrefix(class, "org.springframework.boot.loader.") || !isDotted(strings.ReplaceAll(class, "$", "_")) {
		return ""
	}
	parts := strings.Split(class, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		p := strings.TrimSuffix(strings.TrimSuffix(parts[i], "$"), "Kt")
		if p != "" && !genericName[strings.ToLower(p)] && !genericDir[strings.ToLower(p)] {
			return p
		}
	}
	return parts[len(parts)-1]
}

// jarName drops what a build adds: shop-1.4.2-SNAPSHOT.jar is shop.
func jarName(jar string, cwd func() string) string {
	dir, base := path.Split(jar)
	for i := 1; i+1 < len(base); i++ {
		if base[i] == '-' && base[i+1] >= '0' && base[i+1] <= '9' {
			base = base[:i] + ".jar"
			break
		}
	}
	return scriptName(dir+base, cwd)
}

func dotnetName(args []string, cwd func() string) string {
	for _, a := range args {
		switch {
		case a == "exec":
		case strings.HasSuffix(a, ".dll"):
			return scriptName(a, cwd)
		case a == "" || a[0] != '-':
			return "" // "dotnet run" and other commands start the service as a child
		}
	}
	return ""
}

// monoName is that of the first assembly (mono(1)): of the options only --config takes the next argument.
func monoName(args []string, cwd func() string) string {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--config":
			i++
		case a != "" && a[0] != '-':
			return scriptName(a, cwd)
		}
	}
	return ""
}

var scriptSuffixes = []string{
	".py", ".pyc", ".pyz", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jar", ".war", ".java",
	".rb", ".ru", ".pl", ".php", ".phar", ".dll", ".exe", ".sh",
}

func lookup(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

var (
	// genericName: what many projects call their entry point.
	genericName = lookup(`main app application server index start run runner bootstrap program manage
		wsgi asgi api __main__ __init__ service launcher artisan rails console entrypoint bundle`)
	// genericDir: what many projects call the directory around it.
	genericDir = lookup(`src app apps bin sbin dist build lib lib64 libexec out target cmd server public
		usr local opt srv home root var www html site-packages code workspace current scripts tmp
		main java com org net io`)
)

// scriptName is the base name of a script without its suffix, or when that is generic the nearest
// directory above it that is not, at most three up.
func scriptName(script string, cwd func() string) string {
	if strings.HasPrefix(script, "/proc/") || strings.HasPrefix(script, "/dev/") {
		return "" // a descriptor or a pipe: a number, not a name
	}
	base := path.Base(script)
	for _, s := range scriptSuffixes {
		if b, ok := strings.CutSuffix(base, s); ok && b != "" {
			base = b
			break
		}
	}
	if base == "/" || base == "." || base == ".." {
		base = ""
	}
	if base != "" && !genericName[strings.ToLower(base)] {
		return base
	}
	if !strings.HasPrefix(script, "/") {
		script = path.Join(cwd(), script)
	}
	dir := script
	if base != "" {
		dir = path.Dir(script)
	}
	for range 3 {
		name := path.Base(dir)
		if name == "/" || name == "." {
			break
		}
		if !genericDir[strings.ToLower(name)] && !genericName[strings.ToLower(name)] {
			return name
		}
		dir = path.Dir(dir)
	}
	return base
}
