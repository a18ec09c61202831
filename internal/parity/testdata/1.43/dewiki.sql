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
INSERT INTO block_target (bt_id, bt_address, bt_user, bt_user_text, bt_auto, bt_count) VALUES
(1, NULL, 4, 'Carol', 0, 1),
(2, NULL, 3, 'Bob', 0, 1);
INSERT INTO block (bl_id, bl_target, bl_timestamp, bl_expiry, bl_deleted, bl_parent_block_id, bl_sitewide) VALUES
(1, 1, '20261125000000', 'infinity', 0, NULL, 1),
(2, 2, '20261125000000', 'infinity', 0, NULL, 0);
