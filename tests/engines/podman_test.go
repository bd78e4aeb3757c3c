package engines

import (
	"fmt"
	"path/filepath"
)

// podmanConf is a containers.conf(5). Without runtime_supports_json Podman asks no
// runtime but those it knows by name for its log as JSON, and shows errors less well.
const podmanConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]

[engine]
runtime = "%s"
runtime_supports_json = ["%[1]s"]
cgroup_manager = "cgroupfs"
events_logger = "file"
init_path = "%s"

[engine.runtimes]
%[1]s = ["%[3]s"]
`

const podmanStorage = `[storage]
driver = "overlay"
graphroot = "%s/storage"
runroot = "%s/storage"
`

func setUpPodman(e *engine) {
	conf := e.write(filepath.Join(e.dir, "containers.conf"), fmt.Sprintf(podmanConf,
		e.runtime, lookPath("docker-init"), e.binary))
	storage := e.write(filepath.Join(e.dir, "storage.conf"), fmt.Sprintf(podmanStorage, e.dir, e.run))
	e.write(filepath.Join(e.dir, ".config/containers/policy.json"), `{"default": [{"type": "insecureAcceptAnything"}]}`)
	e.env = e.environment("CONTAINERS_CONF="+conf, "CONTAINERS_STORAGE_CONF="+storage)
	e.client = []string{lookPath("podman")}
	e.create = []string{"--network=none", "--cgroup-parent=" + e.parent}
	e.states = []string{"/run/" + e.runtime}
	e.clear = func(s *session) {
		emptyUnmounted(s.T)
		s.do("unpause", "--all")
		s.do("pod", "rm", "--all", "--force", "--time=0")
		s.do("rm", "--all", "--force", "--time=0")
	}
	e.importImage("import")
}

// importImage imports the image's tar by a command line that podman and docker share.
func (e *engine) importImage(verb string) {
	e.t.Helper()
	layer := e.write(filepath.Join(e.dir, "layer.tar"), string(e.layer))
	res := command{args: append(e.client, verb, "--change", "ENV "+imageEnv, "--change", `CMD ["sh"]`, layer, imageName), env: e.env}.run(e.t)
	if res.code != 0 {
		e.t.Fatal(res)
	}
}
