package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// debianArgs is the recipe of a minimal Debian with a web server: its packages
// alone, from the machine's own apt sources.
var debianArgs = []string{"--variant=minbase", "--include=nginx-light", "--quiet"}

// debianSuite is asked of the machine: a root of the same release as the host
// uses the sources that the host has.
func debianSuite() string {
	b, _ := os.ReadFile("/etc/os-release")
	for line := range strings.SplitSeq(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "bookworm"
}

// debian returns a tar archive of that root, made once a machine: it takes half a
// minute. The cache is keyed by the recipe, and may be deleted at any time.
var debian = sync.OnceValues(func() (archive, skip string) {
	mm, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return "", "needs mmdebstrap (Debian: mmdebstrap)"
	}
	cache := "/var/cache/berth-test"
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		cache = filepath.Join(dir, "berth-test")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err.Error()
	}
	key := sha256.Sum256([]byte(debianSuite() + " " + strings.Join(debianArgs, " ")))
	archive = filepath.Join(cache, "debian-"+hex.EncodeToString(key[:6])+".tar")
	if _, err := os.Stat(archive); err == nil {
		return archive, ""
	}
	tmp := archive + "." + strconv.Itoa(os.Getpid()) + ".tar"
	defer os.Remove(tmp)
	cmd := exec.Command(mm, append(append([]string{}, debianArgs...), debianSuite(), tmp)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := harness.Lines(string(out))
		return "", "mmdebstrap: " + lines[max(0, len(lines)-1)]
	}
	if err := os.Rename(tmp, archive); err != nil {
		return "", err.Error()
	}
	return archive, ""
})

// debianBundle unpacks the root as a bundle's.
func debianBundle(t *testing.T, c ...change) string {
	t.Helper()
	harness.NeedRoot(t)
	if testing.Short() {
		t.Skip("makes or unpacks a Debian root: not with -short")
	}
	archive, skip := debian()
	if skip != "" {
		t.Skip(skip)
	}
	bundle := harness.Bundle(t, c...)
	root := filepath.Join(bundle, "rootfs")
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	// Device nodes of the archive are left out: the runtime makes its own.
	out, err := exec.Command("tar", "-C", root, "--exclude=./dev/*", "-xf", archive).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %s", out)
	}
	return bundle
}

// debianCaps are those that engines give by default, with which Debian's programs
// are used to running.
var debianCaps = strings.Fields("CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID " +
	"CAP_SETFCAP CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE")

func debianProcess(args ...string) change {
	return process(func(p *specs.Process) {
		p.Args = args
		p.NoNewPrivileges = false
		p.Capabilities = &specs.LinuxCapabilities{Bounding: debianCaps, Effective: debianCaps, Permitted: debianCaps}
	})
}

// TestDebian runs what people run.
func TestDebian(t *testing.T) {
	h := harness.New(t)
	bundle := debianBundle(t)
	for _, s := range []struct {
		name  string
		args  []string
		stdin string
		match []string
		code  int
		more  []change
	}{
		{name: "bash", args: []string{"bash", "-c", "echo $BASH_VERSION; cat /etc/debian_version; a=(1 2 3); echo ${#a[@]}"}, match: []string{`^5\.`, `^\d+\.\d+|/sid`, "^3$"}},
		{name: "bash reads a script from standard input", args: []string{"bash"}, stdin: "for i in {1..3}; do echo n$i; done; exit 5\n", match: []string{"^n3$"}, code: 5},
		{name: "apt-get", args: []string{"apt-get", "--version"}, match: []string{`^apt \d`}},
		{name: "dpkg", args: []string{"dpkg", "-l"}, match: []string{`^ii  bash `, `^ii  nginx-light `, `^ii  libc6:`}},
		{name: "dpkg verifies", args: []string{"dpkg", "--audit"}},
		{name: "perl", args: []string{"perl", "-e", `print "$^O $$\n"; print join(",", map { $_*2 } 1..3), "\n"`}, match: []string{"^linux 1$", "^2,4,6$"}},
		{name: "user by su", args: []string{"su", "-s", "/bin/bash", "www-data", "-c", "id -un; echo $HOME; touch /root/x || echo denied"}, match: []string{"^www-data$", "^/var/www$", "^denied$"}},
		{name: "processes", args: []string{"bash", "-c", "sleep 0.01 & sleep 0.01 & wait; seq 100 | xargs -P4 -n10 echo | wc -l"}, match: []string{"^10$"}},
		{name: "tmp and shm", args: []string{"bash", "-c", "mktemp && df /dev/shm | tail -1 && ls -l /dev/fd/ >/dev/null && cat <(echo substituted)"}, match: []string{"^/tmp/", "^shm ", "^substituted$"}},
		{name: "read-only", args: []string{"bash", "-c", "touch /x || echo refused"}, match: []string{"^refused$"}, more: on(func(s *specs.Spec) { s.Root.Readonly = true })},
		{name: "in a user namespace", args: []string{"bash", "-c", "id -u; dpkg -l bash | tail -1"}, match: []string{"^0$", "^ii  bash "}, more: on(harness.UserNamespace)},
		{
			name: "under Docker's default profile", more: on(underProfile(t, "moby")),
			args: []string{"bash", "-c", `apt-get --version | head -1; dpkg -l bash | tail -1; perl -e 'print join(",", map { $_*2 } 1..3), "\n"'; ` +
				`seq 100 | xargs -P4 -n10 echo | wc -l; su -s /bin/bash www-data -c "id -un"; apt-cache policy bash | head -1; nginx -t; mount -t tmpfs none /mnt || echo refused; unshare -U true || echo refused`},
			match: []string{`^apt \d`, `^ii  bash `, "^2,4,6$", "^10$", "^www-data$", "^bash:$", "^refused\nrefused$"},
		},
		{name: "nginx tests its configuration", args: []string{"nginx", "-t"}, match: []string{}},
	} {
		t.Run(s.name, func(t *testing.T) {
			spec := harness.Default()
			for _, c := range append([]change{debianProcess(s.args...)}, s.more...) {
				c(spec)
			}
			harness.WriteConfig(t, bundle, spec)
			id := harness.ID(t)
			res := h.DoIn(s.stdin, "run", "--bundle", bundle, id)
			if res.Code != s.code {
				t.Errorf("exit status %d, want %d", res.Code, s.code)
			}
			for _, m := range s.match {
				if !fits(t, m, res.Stdout) {
					t.Errorf("output does not fit %q", m)
				}
			}
			if t.Failed() {
				t.Logf("%s\n%s", res.Stdout, res.Stderr)
			}
			h.NothingLeft(id)
		})
	}
	t.Run("web server", func(t *testing.T) { testNginx(t, bundle) })
}

// testNginx is a web server in its own network namespace, which answers a second
// container that has joined that namespace; then both are seen, ended and removed.
//
// rows: NS-2 NS-11 LIF-12 LIF-16 LIF-19
func testNginx(t *testing.T, bundle string) {
	server := newContainer(t)
	server.bundle = bundle
	spec := harness.Default()
	debianProcess("nginx", "-g", "daemon off; error_log stderr;")(spec)
	underProfile(t, "moby")(spec)
	harness.WriteConfig(t, bundle, spec)
	put(t, server.bundle, "var/www/html/index.html", "moored here\n", 0o644)
	server.create()
	pid := server.State(server.id).Pid
	harness.Helper(pid)
	server.Must("start", server.id)

	client := newContainer(t, harness.Namespace(specs.NetworkNamespace, "/proc/"+strconv.Itoa(pid)+"/ns/net"),
		harness.Args("/bin/wget", "-q", "-O", "-", "http://127.0.0.1/index.html"))
	var out string
	await(t, "an answer", func() bool {
		res := client.Do("run", "--bundle", client.bundle, client.id)
		out = res.Stdout + res.Stderr
		return res.Code == 0
	})
	if !strings.Contains(out, "moored here") {
		t.Errorf("the answer is %q", out)
	}
	// The network namespace is the server's own: outside nobody answers for it.
	if lines := harness.Lines(server.Must("list")); len(lines) != 2 || !strings.Contains(lines[1], "running") {
		t.Errorf("list: %q", lines)
	}
	server.Must("kill", server.id, "QUIT") // nginx's way to end gracefully
	server.awaitStatus("stopped")
	server.Must("delete", server.id)
	if out := server.Must("list", "-q"); out != "" {
		t.Errorf("list after delete: %q", out)
	}
}
