// Package core imports what a leaf may not.
package core

import _ "xenon/core/env"
