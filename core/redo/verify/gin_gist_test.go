package verify_test

import "testing"

// Every page of a Gin/SPLIT but the child, and that of a Gin/VACUUM_PAGE, is a
// forced image, which files check; Gist/PAGE_REUSE names no page.

func TestGin(t *testing.T) {
	testWorkload(t, "gin", "Gin/CREATE_PTREE Gin/INSERT Gin/SPLIT Gin/DELETE_PAGE Gin/UPDATE_META_PAGE Gin/INSERT_LISTPAGE "+
		"Gin/DELETE_LISTPAGE Gin/VACUUM_DATA_LEAF_PAGE")
}

func TestGist(t *testing.T) {
	testWorkload(t, "gist", "Gist/PAGE_UPDATE Gist/DELETE Gist/PAGE_SPLIT Gist/PAGE_DELETE")
}
