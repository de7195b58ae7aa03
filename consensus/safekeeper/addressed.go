package safekeeper

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wire/http1"
)

// addressee is the parameter of a request that tells which safekeeper it is for.
const addressee = "node_id"

// RouteTo is a route with the id of the safekeeper that it is for. A name may
// lead to another safekeeper for a while: a creation done twice on one node
// and never on another, or one node's position counted as that of two, would
// make a majority of what is none. Whoever is not meant refuses.
func RouteTo(id core.NodeID, path string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + addressee + "=" + strconv.FormatUint(uint64(id), 10)
}

// addressed refuses requests for another safekeeper with status 421. One that
// names none is for whoever is asked: a look by hand, or a tool that knows an
// address and no more.
func (n *Node) addressed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := r.URL.Query().Get(addressee)
		if want != "" && want != strconv.FormatUint(uint64(n.cfg.NodeID), 10) && !(faults.On && faults.Hit(faults.AnyAddressee)) {
			http1.WriteError(w, http.StatusMisdirectedRequest, fmt.Errorf("this is safekeeper %d, the request is for safekeeper %.20q", n.cfg.NodeID, want))
			return
		}
		h.ServeHTTP(w, r)
	})
}
