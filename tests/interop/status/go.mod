module ferry/interop/status

go 1.13

require (
	ferry/interop/lines v0.0.0
	github.com/ethereum/go-ethereum v1.9.5
	github.com/google/uuid v1.1.1
	github.com/status-im/status-go v0.50.0
	github.com/status-im/status-go/whisper/v6 v6.2.6
	go.uber.org/zap v1.13.0
)

replace (
	ferry/interop/lines => ../lines
	github.com/Sirupsen/logrus v1.4.2 => github.com/sirupsen/logrus v1.4.2
	github.com/docker/docker => github.com/docker/engine v1.4.2-0.20190717161051-705d9623b7c1
	github.com/ethereum/go-ethereum v1.9.5 => github.com/status-im/go-ethereum v1.9.5-status.9
	github.com/fjl/memsize => ../geth/memsize
)
