INSERT INTO user (user_id, user_name) VALUES
(1, 'Alice'),
(2, 'MediaWiki default'),
(3, 'Bob'),
(4, 'Carol'),
(5, 'Mallory'),
(6, 'Dave'),
(7, 'Erin'),
(8, 'Peggy'),
(9, 'Victor'),
(10, 'Hidden'),
(11, 'Zoë Müller 日本'),
(12, 'Newname'),
(13, 'Judy');
INSERT INTO user_groups (ug_user, ug_group, ug_expiry) VALUES
(1, 'bureaucrat', NULL),
(1, 'interface-admin', NULL),
(1, 'sysop', NULL),
(13, 'bot', NULL);
INSERT INTO ipblocks (ipb_id, ipb_address, ipb_user, ipb_auto, ipb_sitewide, ipb_expiry, ipb_deleted, ipb_timestamp, ipb_parent_block_id) VALUES
(1, 'Mallory', 5, 0, 1, 'infinity', 0, '20261122034322', NULL),
(2, 'Peggy', 8, 0, 0, 'infinity', 0, '20261122034322', NULL),
(3, 'Victor', 9, 0, 1, '20200101000000', 0, '20261122034322', NULL),
(4, 'Hidden', 10, 0, 1, 'infinity', 1, '20261122034322', NULL);
