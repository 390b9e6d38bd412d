module ferry/interop/lines

go 1.13
