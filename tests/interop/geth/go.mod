module ferry/interop/geth

go 1.13

require (
	ferry/interop/lines v0.0.0
	ferry/interop/mvdspeer v0.0.0
	github.com/ethereum/go-ethereum v1.9.20
	github.com/vacp2p/mvds v0.0.23
	golang.org/x/sys v0.20.0 // indirect
)

replace (
	ferry/interop/lines => ../lines
	ferry/interop/mvdspeer => ../mvds/peer
	github.com/fjl/memsize => ./memsize
)
