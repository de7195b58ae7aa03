package up

import (
	"context"

	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/home"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// call asks a node's management interface. It ends with ctx.
func (in *installation) call(ctx context.Context, addr, method, path string, body, out any) error {
	c, cancel := foreign(ctx)
	defer cancel(nil)
	return http1.Call(c, in.env, addr, method, path, body, out)
}

// foreign is a context for parts that ends with one of the standard library.
func foreign(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	c, cancel := xsync.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return c, func(cause error) { stop(); cancel(cause) }
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
