package main

// later are the versions of the calls that the page syscalls(2) of Debian 12 does
// not have yet.
var later = map[string][2]int{
	"futex_waitv":             {5, 16},
	"set_mempolicy_home_node": {5, 17},
	"cachestat":               {6, 5},
	"fchmodat2":               {6, 6},
	"map_shadow_stack":        {6, 6},
	"futex_wake":              {6, 7},
	"futex_wait":              {6, 7},
	"futex_requeue":           {6, 7},
	"statmount":               {6, 8},
	"listmount":               {6, 8},
	"lsm_get_self_attr":       {6, 8},
	"lsm_set_self_attr":       {6, 8},
	"lsm_list_modules":        {6, 8},
	"mseal":                   {6, 10},
	"uretprobe":               {6, 11},
	"setxattrat":              {6, 13},
	"getxattrat":              {6, 13},
	"listxattrat":             {6, 13},
	"removexattrat":           {6, 13},
	"open_tree_attr":          {6, 15},
	"file_getattr":            {6, 17},
	"file_setattr":            {6, 17},
	"uprobe":                  {6, 18},
	"listns":                  {6, 19},
	"rseq_slice_yield":        {7, 0},
}
