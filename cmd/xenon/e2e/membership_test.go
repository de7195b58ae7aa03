package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
)

// TestMembersChangeUnderLoad adds a safekeeper, removes one, and puts new ones
// in the place of all that were there, one after the other, while clients
// write: no transaction fails, and nothing is lost, though at the end none of
// the safekeepers is left that took in the beginning.
func TestMembersChangeUnderLoad(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.must("branch", "create", "side")
			in.psql("side", "CREATE TABLE s (n int)", "INSERT INTO s VALUES (1)")
			if _, err := in.pg("pgbench", "-i", "-q", "-s", fmt.Sprint(sized(1, 10)), in.url); err != nil {
				t.Fatal(err)
			}
			in.sql(ledgerTable)
			done := startBench(t, in, 8, sized(12, 60))
			clients := in.write(1, 2) // pgbench may be done before the members are
			in.membersAre([]core.NodeID{1, 2, 3})
			in.changeMembers(clients, []core.NodeID{1, 2, 3, 4}, "add")
			in.changeMembers(clients, []core.NodeID{2, 3, 4}, "remove", "1")
			in.changeMembers(clients, []core.NodeID{3, 4, 5}, "replace", "2")
			in.changeMembers(clients, []core.NodeID{4, 5, 6}, "replace", "3")
			want := done()
			clients.close()
			for _, err := range clients.failures() {
				t.Error(err)
			}
			clients.check()
			if got := count(t, in, "pgbench_history"); got != want {
				t.Errorf("%d rows of history, pgbench counts %d transactions", got, want)
			}
			if want == 0 {
				t.Error("no transaction was done")
			}
			in.psql("side", "INSERT INTO s VALUES (2)")
			// The old ones are gone: everything is with the new.
			in.killEverything()
			in.start()
			if got := count(t, in, "pgbench_history"); got != want {
				t.Errorf("%d rows of history after a restart, pgbench counted %d transactions", got, want)
			}
			if got := in.psql("side", "SELECT count(*) FROM s"); got != "2" {
				t.Errorf("branch side has %s rows, want 2", got)
			}
			in.must("branch", "create", "late")
			in.psql("late", "CREATE TABLE l (n int)")
			in.membersAre([]core.NodeID{4, 5, 6})
		})
	}
}

// changeMembers runs a command of membership while clients write, who go on
// after it.
func (in *installation) changeMembers(clients *ledger, want []core.NodeID, args ...string) {
	in.t.Helper()
	in.must(append([]string{"membership"}, args...)...)
	in.membersAre(want)
	before := clients.rows()
	eventually(in.t, "rows written with the new members", func() bool { return clients.rows() > before+10 })
}

// membersAre checks that every branch is kept by these safekeepers, and that no
// others run.
func (in *installation) membersAre(want []core.NodeID) {
	in.t.Helper()
	out := strings.TrimSpace(in.must("membership", "show", "--json"))
	var list []ctl.Membership
	if err := json.Unmarshal([]byte(out[strings.LastIndex(out, "\n")+1:]), &list); err != nil {
		in.t.Fatalf("membership show: %v in %s", err, out)
	}
	for _, m := range list {
		if !slices.Equal(m.Members, want) || len(m.NewMembers) > 0 || len(m.Leavers) > 0 {
			in.t.Errorf("branch %s: members %v turning into %v, leaving %v, want %v", m.Branch, m.Members, m.NewMembers, m.Leavers, want)
		}
	}
	var running []core.NodeID
	for _, k := range in.status().Safekeepers {
		running = append(running, k.ID)
	}
	slices.Sort(running)
	if !slices.Equal(running, want) {
		in.t.Errorf("safekeepers %v run, want %v", running, want)
	}
}
