// The package comment that begins otherwise.
package env
