module xenon

go 1.26.0
