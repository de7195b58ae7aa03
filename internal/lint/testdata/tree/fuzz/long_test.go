package fuzz

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x
