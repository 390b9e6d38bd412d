module ferry/interop/mvdspeer

go 1.13

require (
	ferry/interop/lines v0.0.0
	github.com/golang/protobuf v1.3.2
	github.com/vacp2p/mvds v0.0.23
)

replace ferry/interop/lines => ../../lines
