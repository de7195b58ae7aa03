package compute

import (
	"context"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"time"

	"xenon/compute/filetree"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/pageserver/bootset"
	"xenon/core/register"
	"xenon/core/xsync"
)

// A kept is one of a branch's own settings files, as its register holds it:
// the epoch of the endpoint that may write it, whether there is a file yet,
// and the file. An endpoint puts its epoch there before it reads the file for
// its first server, so an older one, superseded unawares, can no longer write
// what the newer one has read, or has written since.
type kept struct {
	epoch   uint64
	there   bool
	content []byte
}

// keptHeader is the epoch (u64, little-endian) and whether there is a file (a
// byte, 0 or 1), which the file follows.
const keptHeader = 8 + 1

func (k kept) encode() []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, keptHeader+len(k.content)), k.epoch)
	if !k.there {
		return append(b, 0)
	}
	return append(append(b, 1), k.content...)
}

func decodeKept(s register.State) (kept, error) {
	if s.Version() == 0 {
		return kept{}, nil
	}
	return parseKept(s.Payload)
}

func parseKept(b []byte) (k kept, err error) {
	if len(b) < keptHeader || b[8] > 1 || b[8] == 0 && len(b) > keptHeader {
		return k, fmt.Errorf("%d bytes are no kept file: %w", len(b), env.ErrCorrupt)
	}
	return kept{binary.LittleEndian.Uint64(b), b[8] == 1, b[keptHeader:]}, nil
}

func keptRegister(e env.Env, branch, name string) *register.Register {
	return register.New(e, path.Join("branches", branch, "settings", name))
}

// KeepFile gives a branch that nobody has run yet one of its own settings
// files ([filetree.KeptFiles]).
func KeepFile(ctx context.Context, e env.Env, branch, name string, content []byte) error {
	return Claim{}.keep(ctx, e, branch, name, content)
}

// KeptFile is one of a branch's own settings files as it is now. there is
// false if the branch has none of its own.
func KeptFile(ctx context.Context, e env.Env, branch, name string) (content []byte, there bool, err error) {
	s, err := keptRegister(e, branch, name).Read(ctx)
	if err == nil {
		var k kept
		if k, err = decodeKept(s); err == nil {
			return k.content, k.there, nil
		}
	}
	return nil, false, fmt.Errorf("%s of branch %s: %w", name, branch, err)
}

// keep stores a settings file, unless a later epoch has taken it over.
func (c Claim) keep(ctx context.Context, e env.Env, branch, name string, content []byte) error {
	_, err := keptRegister(e, branch, name).Update(ctx, func(s register.State) ([]byte, error) {
		if _, err := c.holds(s); err != nil {
			return nil, err
		}
		return kept{c.Epoch, true, content}.encode(), nil
	})
	if err != nil {
		return fmt.Errorf("keep %s of branch %s: %w", name, branch, err)
	}
	return nil
}

// adopt reads a settings file and makes sure that no earlier epoch writes it
// any more. there is false if the branch has none of its own.
func (c Claim) adopt(ctx context.Context, e env.Env, branch, name string) (content []byte, there bool, err error) {
	var k kept
	r := keptRegister(e, branch, name)
	s, err := r.Read(ctx)
	if err == nil {
		k, err = c.holds(s)
	}
	// Before the first epoch nobody ran the branch: nobody is to be kept out, and
	// the first start on a new branch waits for no write.
	if err == nil && k.epoch != c.Epoch && c.Epoch > 1 {
		_, err = r.Update(ctx, func(s register.State) (_ []byte, err error) {
			if k, err = c.holds(s); err != nil {
				return nil, err
			}
			return kept{c.Epoch, k.there, k.content}.encode(), nil
		})
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s of branch %s: %w", name, branch, err)
	}
	return k.content, k.there, nil
}

// holds decodes a kept file that c may write.
func (c Claim) holds(s register.State) (kept, error) {
	k, err := decodeKept(s)
	if err == nil && k.epoch > c.Epoch && !(faults.On && faults.Hit(faults.KeptUnfenced)) {
		err = fmt.Errorf("%w: epoch %d has taken it over from epoch %d", ErrNotOwner, k.epoch, c.Epoch)
	}
	return k, err
}

// keepPatience is how long a server waits for the store to take a settings
// file. Then its user gets an error: whether the change outlives this server
// is open, as it is for any write whose answer was lost.
const keepPatience = 10 * time.Second

// keep makes a settings file durable for the branch.
func (ep *Endpoint) keep(ctx context.Context, name string, content []byte) error {
	ctx, cancel := xsync.WithTimeout(ctx, ep.env, keepPatience)
	defer cancel()
	return ep.claim.keep(ctx, ep.env, ep.registers(), name, content)
}

// files are the settings files that a server of this branch starts with: the
// branch's own where it has them, else those of the configuration.
func (ep *Endpoint) files(ctx context.Context) ([]bootset.File, error) {
	files := slices.Clone(ep.cfg.Files)
	if ep.static() {
		return ep.staticFiles(ctx, files)
	}
	for _, name := range filetree.KeptFiles {
		content, there, err := ep.claim.adopt(ctx, ep.env, ep.registers(), name)
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		files = override(files, name, content)
	}
	return files, nil
}

// override replaces a settings file, or adds it.
func override(files []bootset.File, name string, content []byte) []bootset.File {
	files = slices.DeleteFunc(files, func(f bootset.File) bool { return f.Path == name })
	return append(files, bootset.File{Path: name, Content: content})
}
