// Package seal holds the keys of the state file: how records are sealed with one, and who protects it while it lies on disk.
//
// The state file has a key of its own, made with [NewSecret]; in the file it stands wrapped, by the [Wrapper] of the type of persist.
// Each type is one file here, and a new one, such as a cloud's KMS, is one file more.
package seal
