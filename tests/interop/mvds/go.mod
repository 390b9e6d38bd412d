module ferry/interop/mvds

go 1.13

require (
	ferry/interop/lines v0.0.0
	ferry/interop/mvdspeer v0.0.0
	github.com/vacp2p/mvds v0.0.25
)

replace (
	ferry/interop/lines => ../lines
	ferry/interop/mvdspeer => ./peer
)
