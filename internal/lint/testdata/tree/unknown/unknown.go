// Package unknown is in no rule.
package unknown

import _ "xenon/core"
