package validator

// coreGrants are the grants that MediaWiki and its OAuth extension define
// themselves, in any release, and the marker that stands for all grants of a
// client. A wiki may define more.
var coreGrants = func() map[string]bool {
	names := map[string]bool{}
	for _, name := range []string{
		"basic", "highvolume", "import", "editpage", "editprotected", "editmycssjs", "editmyoptions",
		"editinterface", "editsiteconfig", "createeditmovepage", "uploadfile", "uploadeditmovefile", "patrol",
		"rollback", "blockusers", "viewdeleted", "viewrestrictedlogs", "delete", "oversight", "protect",
		"viewmywatchlist", "editmywatchlist", "sendemail", "createaccount", "mergehistory", "privateinfo",
		"oauthmanageownclient", "mwoauth-authonly", "mwoauth-authonlyprivate", "#default",
	} {
		names[name] = true
	}
	return names
}()
