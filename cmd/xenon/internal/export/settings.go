package export

import (
	"fmt"
	"slices"
	"strings"

	"xenon/compute/boot"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// carry adds to the settings files what the control file says that they have
// too little of ([boot.Lacking]).
func carry(conf []bootset.File, s wal.ControlSettings) []bootset.File {
	var lines strings.Builder
	for _, f := range boot.Lacking(conf, s) {
		fmt.Fprintf(&lines, "%s = %d\n", f.Name, f.Required)
	}
	if lines.Len() == 0 {
		return conf
	}
	i := slices.IndexFunc(conf, func(f bootset.File) bool { return f.Path == boot.AutoConf })
	if conf = slices.Clone(conf); i < 0 {
		i, conf = len(conf), append(conf, bootset.File{Path: boot.AutoConf})
	}
	text := string(conf[i].Content)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	conf[i].Content = []byte(text + "# as the exported WAL was written with\n" + lines.String())
	return conf
}
