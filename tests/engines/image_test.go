package engines

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// imageName is what the image of busybox is imported as, everywhere.
const imageName = "localhost/bb:1"

// imageEnv is in the image's config: engines have a PATH of their own for images
// without one, ctr has none.
const imageEnv = "PATH=/bin:/sbin"

// imageTree makes the root file system of the image: busybox, users, and a few files
// that tests go by.
func imageTree(t testing.TB, dir, busybox string) {
	t.Helper()
	for _, d := range []string{"bin", "etc", "tmp", "proc", "sys", "dev", "root", "home/user", "data"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(dir, "tmp"), 0o1777))
	b, err := os.ReadFile(busybox)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), b, 0o755))
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin/probe"), "./probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %s", out)
	}
	applets := "sh ls ps cat mount umount id true false sleep env hostname pwd stat readlink echo grep head tail kill " +
		"test touch mkdir mkfifo mknod rm wc dd tty stty awk sed tr date seq df chown chmod uname pidof nproc sysctl yes timeout usleep cut sort find"
	for a := range strings.FieldsSeq(applets) {
		must(t, os.Symlink("busybox", filepath.Join(dir, "bin", a)))
	}
	files := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
		"etc/group":  "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n",
		"data/file":  "of the image\n",
	}
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	must(t, os.Chown(filepath.Join(dir, "home/user"), 1000, 1000))
}

// tarOf packs a tree.
func tarOf(t testing.TB, dir string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(p); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		h.Name, _ = filepath.Rel(dir, p)
		if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}))
	must(t, w.Close())
	return buf.Bytes()
}

// ociArchive packs a layer into an image (image-spec, Image Layout), for ctr import.
func ociArchive(t testing.TB, layer []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(name string, b []byte) {
		must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b)), ModTime: time.Unix(0, 0)}))
		_, err := w.Write(b)
		must(t, err)
	}
	type object = map[string]any
	blob := func(mediaType string, b []byte) object {
		sum := sha256.Sum256(b)
		add("blobs/sha256/"+hex.EncodeToString(sum[:]), b)
		return object{"mediaType": mediaType, "size": len(b), "digest": "sha256:" + hex.EncodeToString(sum[:])}
	}
	text := func(o any) []byte {
		b, err := json.Marshal(o)
		must(t, err)
		return b
	}
	l := blob("application/vnd.oci.image.layer.v1.tar", layer)
	config := blob("application/vnd.oci.image.config.v1+json", text(object{
		"architecture": runtime.GOARCH, "os": "linux", "config": object{"Env": []string{imageEnv}, "Cmd": []string{"sh"}},
		"rootfs": object{"type": "layers", "diff_ids": []any{l["digest"]}},
	}))
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest := blob(manifestType, text(object{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []any{l}}))
	manifest["annotations"] = object{"io.containerd.image.name": imageName, "org.opencontainers.image.ref.name": "1"}
	add("index.json", text(object{"schemaVersion": 2, "manifests": []any{manifest}}))
	add("oci-layout", text(object{"imageLayoutVersion": "1.0.0"}))
	must(t, w.Close())
	return buf.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
