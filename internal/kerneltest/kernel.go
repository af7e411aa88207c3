package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	metaPackage = "linux-image-cloud-amd64"
	keyring     = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// series is a line of kernels and the Debian releases that ship it, the preferred one first.
type series struct {
	name   string
	suites []string
}

var known = []series{
	{"5.10", []string{"bullseye"}},
	{"6.1", []string{"bookworm"}},
	{"6.12", []string{"trixie", "bookworm-backports"}},
}

func seriesByName(name string) (series, error) {
	for _, s := range known {
		if s.name == name {
			return s, nil
		}
	}
	names := make([]string, len(known))
	for i, s := range known {
		names[i] = s.name
	}
	return series{}, fmt.Errorf("unknown series %q, known are %s", name, strings.Join(names, ", "))
}

// kernel is one bootable image in the cache. The exported fields are its kernel.json.
type kernel struct {
	Series  string `json:"series"`
	Package string `json:"package"`
	Version string `json:"version"`
	SHA256  string `json:"vmlinuz_sha256"`
	image   string
}

// fetchKernels returns an image of each series, from the cache or from the mirror.
func fetchKernels(ctx context.Context, o options) ([]kernel, error) {
	var found archives
	var all []kernel
	for _, s := range o.kernels {
		dir := filepath.Join(o.cache, s.name)
		if !o.refresh {
			k, err := cachedKernel(dir)
			if err == nil {
				all = append(all, k)
				continue
			}
			if !errors.Is(err, os.ErrNotExist) {
				fmt.Fprintf(os.Stderr, "kernel-test: %s: cached kernel is not usable, fetching again: %v\n", s.name, err)
			}
		}
		if o.mirror != "" {
			found = archives{base: strings.TrimRight(o.mirror, "/")}
		} else if found.base == "" {
			var err error
			if found, err = machineArchives("/etc/apt"); err != nil {
				return nil, err
			}
		}
		k, err := fetchKernel(ctx, s, found, dir)
		if err != nil {
			return nil, fmt.Errorf("fetch kernel %s: %w", s.name, err)
		}
		fmt.Printf("kernel-test: %s: fetched %s %s\n", s.name, k.Package, k.Version)
		all = append(all, k)
	}
	return all, nil
}

// cachedKernel reads a kernel back and checks that the image is the one that was stored.
func cachedKernel(dir string) (kernel, error) {
	var k kernel
	data, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(data, &k); err != nil {
		return k, fmt.Errorf("%s/kernel.json: %w", dir, err)
	}
	k.image = filepath.Join(dir, "vmlinuz")
	sum, err := fileSum(k.image)
	if err != nil {
		return k, err
	}
	if sum != k.SHA256 {
		return k, fmt.Errorf("%s: its SHA-256 is not the stored one", k.image)
	}
	return k, nil
}

func fileSum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// apt is a private view of an archive: own sources, lists and cache, so nothing of the machine's
// own apt state is read or changed, except its configuration (proxies) and Debian's keyring.
type apt struct {
	dir  string
	args []string
}

func newApt(dir string, a archives, suites []string) (apt, error) {
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return apt{}, err
		}
	}
	var list strings.Builder
	for _, suite := range suites {
		fmt.Fprintf(&list, "deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, a.base, suite)
		if a.security != "" && !strings.Contains(suite, "-") {
			fmt.Fprintf(&list, "deb [arch=amd64 signed-by=%s] %s %s-security main\n", keyring, a.security, suite)
		}
	}
	for name, text := range map[string]string{"sources.list": list.String(), "state/status": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return apt{}, err
		}
	}
	return apt{dir: dir, args: []string{
		"-q",
		"-o", "Dir::State=" + dir + "/state",
		"-o", "Dir::State::lists=" + dir + "/state/lists",
		"-o", "Dir::State::status=" + dir + "/state/status",
		"-o", "Dir::Cache=" + dir + "/cache",
		"-o", "Dir::Etc::sourcelist=" + dir + "/sources.list",
		"-o", "Dir::Etc::sourceparts=" + dir + "/parts",
		"-o", "Dir::Etc::preferences=" + dir + "/none",
		"-o", "Dir::Etc::preferencesparts=" + dir + "/parts",
		"-o", "APT::Architecture=amd64",
		"-o", "APT::Architectures=amd64",
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		// Hooks of the machine (package search caches) have no business here.
		"-o", "APT::Update::Post-Invoke-Success=",
		"-o", "APT::Update::Error-Mode=any",
	}}, nil
}

func (a apt) run(ctx context.Context, tool string, args ...string) (string, error) {
	return output(ctx, a.dir, tool, append(slices.Clone(a.args), args...)...)
}

func fetchKernel(ctx context.Context, s series, found archives, dir string) (kernel, error) {
	if _, err := os.Stat(keyring); err != nil {
		return kernel{}, fmt.Errorf("%w: install the package debian-archive-keyring", err)
	}
	// Not below the cache: apt's unprivileged download user must be able to reach it.
	work, err := os.MkdirTemp("", "kernel-fetch-")
	if err != nil {
		return kernel{}, err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return kernel{}, err
	}
	var failures []error
	attempt := 0
	for _, suite := range s.suites {
		for _, a := range found.candidates() {
			attempt++
			view, err := newApt(filepath.Join(work, fmt.Sprint(attempt)), a, []string{suite})
			if err != nil {
				return kernel{}, err
			}
			k, err := view.download(ctx, s)
			if err == nil {
				return view.store(ctx, k, dir)
			}
			if ctx.Err() != nil {
				return kernel{}, context.Cause(ctx)
			}
			failures = append(failures, fmt.Errorf("suite %s at %s: %w", suite, a.base, err))
		}
	}
	return kernel{}, fmt.Errorf("none of the suites %s could be read; if the mirror no longer carries them, "+
		"give one that does with -mirror (Debian's archive of old releases):\n%w",
		strings.Join(s.suites, ", "), errors.Join(failures...))
}

// download finds the newest kernel of the series and puts its .deb into the view's folder. apt
// checks the signatures.
func (a apt) download(ctx context.Context, s series) (kernel, error) {
	if _, err := a.run(ctx, "apt-get", "update"); err != nil {
		return kernel{}, err
	}
	text, err := a.run(ctx, "apt-cache", "show", metaPackage)
	if err != nil {
		return kernel{}, err
	}
	k, err := newest(text, s.name)
	if err != nil {
		return kernel{}, err
	}
	_, err = a.run(ctx, "apt-get", "download", k.Package+"="+k.Version)
	return k, err
}

// newest picks from apt-cache's stanzas, which come newest first, the first of the series.
func newest(text, name string) (kernel, error) {
	for _, stanza := range stanzas(text) {
		version := stanza["version"]
		if !strings.HasPrefix(version, name+".") {
			continue
		}
		for _, dep := range strings.Split(stanza["depends"], ",") {
			pkg, _, _ := strings.Cut(strings.TrimSpace(dep), " ")
			if strings.HasPrefix(pkg, "linux-image-"+name+".") {
				return kernel{Series: name, Package: pkg, Version: version}, nil
			}
		}
	}
	return kernel{}, fmt.Errorf("no version of %s is a %s kernel", metaPackage, name)
}

// store unpacks the image and moves it into the cache; kernel.json comes last, so that a broken
// run leaves no entry behind that looks whole.
func (a apt) store(ctx context.Context, k kernel, dir string) (kernel, error) {
	debs, err := filepath.Glob(filepath.Join(a.dir, "linux-image-*.deb"))
	if err != nil || len(debs) != 1 {
		return k, fmt.Errorf("apt-get download %s left %d packages in %s, want 1", k.Package, len(debs), a.dir)
	}
	tree := filepath.Join(a.dir, "tree")
	if _, err := output(ctx, a.dir, "dpkg-deb", "-x", debs[0], tree); err != nil {
		return k, err
	}
	images, err := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return k, fmt.Errorf("%s holds %d boot/vmlinuz-* files, want 1", filepath.Base(debs[0]), len(images))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return k, err
	}
	data, err := os.ReadFile(images[0])
	if err != nil {
		return k, err
	}
	sum := sha256.Sum256(data)
	k.SHA256 = hex.EncodeToString(sum[:])
	k.image = filepath.Join(dir, "vmlinuz")
	if err := replaceFile(k.image, data); err != nil {
		return k, err
	}
	meta, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return k, err
	}
	return k, replaceFile(filepath.Join(dir, "kernel.json"), append(meta, '\n'))
}

func replaceFile(name string, data []byte) error {
	tmp := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, name)
}
