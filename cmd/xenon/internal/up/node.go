package up

import (
	"xenon/cmd/xenon/internal/cluster"
	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/home"
)

// cluster is the nodes of the installation.
func (in *installation) cluster() cluster.Cluster {
	return cluster.Cluster{Env: in.env, Members: &in.members, Pageserver: in.layout.Pageserver}
}

// writeConf writes the configuration of a role and returns the file's name.
func (in *installation) writeConf(name string, c any) (string, error) {
	b, err := conf.Write(c)
	if err != nil {
		return "", err
	}
	file := in.home.Path("conf", name+".toml")
	return file, home.WriteFile(file, b, 0o600)
}
