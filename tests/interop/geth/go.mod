module ferry/interop/geth

go 1.13

require (
	ferry/interop/lines v0.0.0
	github.com/ethereum/go-ethereum v1.9.20
	golang.org/x/sys v0.20.0 // indirect
)

replace (
	ferry/interop/lines => ../lines
	github.com/fjl/memsize => ./memsize
)
