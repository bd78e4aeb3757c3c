package engines

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func volumes(s *session) {
	dir := s.temp()
	s.write(filepath.Join(dir, "file"), "of the host\n")
	s.same("read", s.prints(opts{"-v", dir + ":/v:ro"}, "cat", "/v/file"), "of the host")
	s.has(s.run(opts{"-v", dir + ":/v:ro"}, "touch", "/v/new").err, "Read-only file system")
	s.prints(opts{"-v", dir + ":/v"}, "sh", "-c", "echo inside > /v/new")
	b, err := os.ReadFile(filepath.Join(dir, "new"))
	must(s, err)
	s.same("written", string(b), "inside\n")
	// A file over a file of the image, one where nothing is, and a volume with a name.
	file := filepath.Join(dir, "file")
	s.same("files", s.prints(opts{"-v", file + ":/data/file:ro", "-v", file + ":/some/where/new"}, "cat", "/data/file", "/some/where/new"),
		"of the host\nof the host")
	s.prints(opts{"-v", "named:/data"}, "touch", "/data/kept")
	s.same("the image's and the kept", s.prints(opts{"-v", "named:/data"}, "ls", "/data"), "file\nkept")
	s.must("volume", "rm", "named")
}

// sharedVolume: what is mounted on one side appears on the other.
func sharedVolume(s *session) {
	dir := s.temp()
	must(s, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	must(s, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	defer func() { must(s, unix.Unmount(dir, unix.MNT_DETACH)) }()
	sub := filepath.Join(dir, "sub")
	must(s, os.Mkdir(sub, 0o755))
	slave, shared, private := s.sleeper("-v", dir+":/v:rslave"), s.sleeper("-v", dir+":/v:rshared", "--cap-add", "SYS_ADMIN",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"), s.sleeper("-v", dir+":/v")
	must(s, unix.Mount("x", sub, "tmpfs", 0, ""))
	s.write(filepath.Join(sub, "file"), "mounted later")
	for id, want := range map[string]string{slave: "file", shared: "file", private: ""} {
		s.same("seen inside", s.must("exec", id, "ls", "/v/sub"), want)
	}
	must(s, unix.Unmount(sub, 0))
	s.must("exec", shared, "mount", "-t", "tmpfs", "x", "/v/sub")
	s.must("exec", shared, "touch", "/v/sub/inside")
	_, err := os.Stat(filepath.Join(sub, "inside"))
	must(s, err)
	must(s, unix.Unmount(sub, 0))
}

func tmpfs(s *session) {
	options := "/t:size=1m,mode=1770,noexec"
	if s.name == "podman" {
		options += ",notmpcopyup"
	}
	out := s.prints(opts{"--tmpfs", options}, "sh", "-c", "grep ' /t ' /proc/mounts; stat -c %a /t; dd if=/dev/zero of=/t/x bs=64k count=99 2>&1; true")
	s.has(out, "noexec", "size=1024k", "1770", "No space left on device")
	s.has(s.prints(opts{"--shm-size", "3m"}, "df", "-k", "/dev/shm"), "3072")
	if s.name == "docker" {
		s.has(s.prints(opts{"--mount", "type=tmpfs,destination=/t,tmpfs-size=2m"}, "df", "-k", "/t"), "2048")
	}
}

// copiedUp is Podman's default for a tmpfs: what the image has there is copied into it.
func copiedUp(s *session) {
	if out, err := exec.Command(s.binary, "features").Output(); err == nil && !strings.Contains(string(out), `"tmpcopyup"`) {
		s.Skip("the runtime has no mount option tmpcopyup")
	}
	s.same("copied", s.prints(opts{"--tmpfs", "/data"}, "cat", "/data/file"), "of the image")
	s.same("read-only", s.prints(opts{"--read-only"}, "sh", "-c", "touch /tmp/x && ls /tmp"), "x")
}

// glibc: a root file system of this machine's own programs, with their libraries.
func glibc(s *session) {
	if s.runtime != "berth" {
		s.Skip("berth makes the root file system")
	}
	bundle := filepath.Join(s.temp(), "b")
	if out, err := exec.Command(s.binary, "bundle", "create", bundle, "bash", "ls", "awk").CombinedOutput(); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
	image := "localhost/glibc:1"
	layer := s.write(filepath.Join(s.temp(), "l.tar"), string(tarOf(s, filepath.Join(bundle, "rootfs"))))
	s.must("import", layer, image)
	defer func() { s.must("rmi", "--force", image) }()
	args := append([]string{"run", "--rm"}, s.create...)
	s.same("bash", s.must(append(args, image, "bash", "-c", "shopt -s extglob; echo ${BASH_VERSION:+bash} $(ls -d /usr)")...), "bash /usr")
	if strings.Contains(s.must(append(args, image, "bash", "-c", "set")...), "BERTH") {
		s.Errorf("Berth's variables are inside")
	}
}
