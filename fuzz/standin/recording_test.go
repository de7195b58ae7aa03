package standin

import "testing"

// TestRecording: the recording has the kinds of record that it is there for.
func TestRecording(t *testing.T) {
	kinds := map[string]int{}
	for n, all := range recorded() {
		if len(all) < 2 || !Creates(all[0]) {
			t.Errorf("relation %d has %d records and begins with %s", n, len(all), all[0].Name())
		}
		for _, rec := range all {
			kinds[rec.Name()]++
			if m, ok := Recorded(rec); !ok || m != n {
				t.Errorf("a record of relation %d says that it is of %d", n, m)
			}
		}
	}
	for _, want := range []string{
		"Heap/UPDATE", "Heap2/FREEZE_PAGE", "Heap2/MULTI_INSERT+INIT", "Btree/SPLIT_R", "Btree/UNLINK_PAGE", "Gin/SPLIT", "Gist/PAGE_SPLIT",
		"Hash/SPLIT_PAGE", "SPGist/PICKSPLIT", "BRIN/UPDATE", "Generic/Generic", "Sequence/LOG", "Storage/TRUNCATE", "XLOG/FPI",
	} {
		if kinds[want] == 0 {
			t.Errorf("no %s in the recording, which has %v", want, kinds)
		}
	}
}
