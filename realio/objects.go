package realio

import (
	"context"
	"fmt"
	"io"

	"xenon/core/env"
)

// noObjects is the store of an Env that was given none.
type noObjects struct{}

var errNoObjects = fmt.Errorf("no object store was given to this process: %w", env.ErrUnavailable)

func (noObjects) Put(context.Context, string, env.Body, env.PutOpts) (env.ObjectMeta, error) {
	return env.ObjectMeta{}, errNoObjects
}

func (noObjects) Get(context.Context, string, env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	return nil, env.ObjectMeta{}, errNoObjects
}

func (noObjects) Head(context.Context, string) (env.ObjectMeta, error) {
	return env.ObjectMeta{}, errNoObjects
}

func (noObjects) List(context.Context, env.ListOpts) (env.ListPage, error) {
	return env.ListPage{}, errNoObjects
}

func (noObjects) Delete(context.Context, string) error { return errNoObjects }
