module example.org/register

go 1.26.0

require xenon v0.0.0

require (
	github.com/anishathalye/porcupine v1.3.1 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace xenon => ../..
