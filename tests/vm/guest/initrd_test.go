package guest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	want := []string{"vmlinuz-5.10.0-30-amd64", "vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-56-amd64", "vmlinuz-6.12.95+deb12-amd64", "vmlinuz-7.0.1-amd64"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareVersions)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	k := kernel{modules: t.TempDir()}
	dep := `kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz
kernel/net/9p/9pnet.ko.xz:
kernel/fs/netfs/netfs.ko.xz:
kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/crypto/crc32c-generic.ko.xz kernel/lib/base.ko.xz
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/base.ko.xz
kernel/lib/base.ko.xz:
kernel/crypto/crc32c-generic.ko.xz:
`
	if err := os.WriteFile(filepath.Join(k.modules, "modules.dep"), []byte(dep), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := k.moduleFiles()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"kernel/crypto/crc32c-generic.ko.xz", "kernel/lib/base.ko.xz", "kernel/fs/jbd2/jbd2.ko.xz", "kernel/fs/ext4/ext4.ko.xz",
		"kernel/net/9p/9pnet.ko.xz", "kernel/net/9p/9pnet_virtio.ko.xz", "kernel/fs/netfs/netfs.ko.xz", "kernel/fs/9p/9p.ko.xz",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
