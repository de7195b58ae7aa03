package pageserver

// Open opens a timeline of which there is no index in the object store.
var Open = open
