package compute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"xenon/core/env"
	"xenon/core/register"
)

// A Claim is what the register of an endpoint says: who may run the branch.
// It changes only when somebody asks for it, never by a restart: two
// supervisors that each took it back would duel for ever.
type Claim struct {
	Owner string `json:"owner"` // names a sidecar
	Epoch uint64 `json:"epoch"` // one more with every take-over
}

// ErrNotOwner reports that the endpoint's register names somebody else.
var ErrNotOwner = errors.New("the branch has another endpoint")

// ClaimKey is the object of the register of a branch's endpoint. Here and
// below, branch is what names the registers of the branch.
func ClaimKey(branch string) string { return "endpoints/" + branch }

// Take makes owner the one who may run the branch. If somebody else is, it
// needs takeover; without it the error is [ErrNotOwner] and names them.
func Take(ctx context.Context, e env.Env, branch, owner string, takeover bool) (Claim, error) {
	var c Claim
	_, err := register.New(e, ClaimKey(branch)).Update(ctx, func(s register.State) ([]byte, error) {
		held, err := decodeClaim(branch, s)
		switch {
		case err != nil:
			return nil, err
		case held.Owner != "" && held.Owner != owner && !takeover:
			return nil, fmt.Errorf("%w: %s has run it since epoch %d; stop it, or start this one with a take-over", ErrNotOwner, held.Owner, held.Epoch)
		}
		c = Claim{Owner: owner, Epoch: held.Epoch + 1}
		return json.Marshal(c)
	})
	return c, err
}

// Release says that nobody runs the branch, if c still holds it.
func (c Claim) Release(ctx context.Context, e env.Env, branch string) error {
	_, err := register.New(e, ClaimKey(branch)).Update(ctx, func(s register.State) ([]byte, error) {
		held, err := decodeClaim(branch, s)
		if err != nil {
			return nil, err
		}
		if held != c {
			return nil, ErrNotOwner
		}
		return json.Marshal(Claim{Epoch: held.Epoch})
	})
	if errors.Is(err, ErrNotOwner) {
		return nil
	}
	return err
}

// Check returns nil while the register names c, and [ErrNotOwner] once it
// names somebody else. While the store does not answer it waits.
func (c Claim) Check(ctx context.Context, e env.Env, branch string) error {
	s, err := register.New(e, ClaimKey(branch)).Read(ctx)
	if err != nil {
		return err
	}
	held, err := decodeClaim(branch, s)
	if err != nil {
		return err
	}
	if held != c {
		return fmt.Errorf("%w: %s took it over in epoch %d", ErrNotOwner, held.Owner, held.Epoch)
	}
	return nil
}

func decodeClaim(branch string, s register.State) (Claim, error) {
	if s.Version() == 0 {
		return Claim{}, nil
	}
	return parseClaim(branch, s.Payload)
}

func parseClaim(branch string, b []byte) (c Claim, err error) {
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("register of the endpoint on %s: %w: %w", branch, env.ErrCorrupt, err)
	}
	return c, nil
}

// Holder reads who may run a branch; the zero Claim is nobody, ever.
func Holder(ctx context.Context, e env.Env, branch string) (Claim, error) {
	s, err := register.New(e, ClaimKey(branch)).Read(ctx)
	if err != nil {
		return Claim{}, err
	}
	return decodeClaim(branch, s)
}
