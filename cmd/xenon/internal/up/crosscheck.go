package up

import (
	"fmt"

	"xenon/cmd/xenon/internal/role"
)

// crossCheck is how many percent of the pages that servers write are compared
// with redo: what this start asked for, else what xenon.toml says.
func (in *installation) crossCheck() (float64, error) {
	if p := in.opts.CrossCheck; p != nil {
		return *p, nil
	}
	s, err := in.home.Settings()
	if err != nil || s.CrossCheck == nil {
		return role.DefaultCrossCheck, err
	}
	if p := *s.CrossCheck; p >= 0 && p <= 100 {
		return p, nil
	}
	return 0, fmt.Errorf("%s: cross_check = %g: want percent, 0 to 100", in.home.Path("xenon.toml"), *s.CrossCheck)
}
